//! A graph that grows node by node: names, constants, and the layers that all architectures are made of.

mod int8;
mod layers;

use std::collections::{HashMap, HashSet};

use nn::weights::Params;

use crate::proto::{Attribute, Constant, DataType, GraphProto, Node, ValueInfo};
use int8::Quantised;
pub(crate) use layers::Activation;

/// The name of a tensor in the graph.
pub(crate) type Value = String;

/// How matrix products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// In single precision.
    F32,
    /// In eight bits, weights quantised beforehand and activations as they come; beside the model in single precision.
    Int8,
}

/// A graph under construction.
pub(crate) struct Graph<'a> {
    params: &'a Params,
    precision: Precision,
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    /// Names of constants and nodes.
    names: HashSet<String>,
    /// What was quantised, by its name in single precision: several layers may read it.
    quantised: HashMap<Value, Quantised>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(params: &'a Params, precision: Precision) -> Self {
        Self {
            params,
            precision,
            nodes: Vec::new(),
            constants: Vec::new(),
            names: HashSet::new(),
            quantised: HashMap::new(),
        }
    }

    /// The whole graph, in which `value`, of the last node, is called `output`.
    pub(crate) fn finish(mut self, value: &str, inputs: Vec<ValueInfo>, output: ValueInfo) -> GraphProto {
        for name in self.nodes.iter_mut().flat_map(|node| &mut node.output).filter(|name| *name == value) {
            name.clone_from(&output.name);
        }
        let (node, initializer) = (self.nodes, self.constants);
        GraphProto { node, name: "cross_encoder".into(), initializer, input: inputs, output: vec![output] }
    }

    /// Adds an operation; its name is made of `scope`, a path with dots as weights have it, and of the operation's.
    pub(crate) fn node(&mut self, scope: &str, operation: &str, inputs: &[&str], attributes: &[Attribute]) -> Value {
        let [output] = self.nodes(scope, operation, inputs, attributes);
        output
    }

    /// As [`Self::node`] with several outputs.
    pub(crate) fn nodes<const N: usize>(
        &mut self,
        scope: &str,
        operation: &str,
        inputs: &[&str],
        attributes: &[Attribute],
    ) -> [Value; N] {
        let name = self.unused_name(&format!("/{}/{operation}", scope.replace('.', "/")));
        let outputs = std::array::from_fn(|index| format!("{name}_output_{index}"));
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.to_vec(),
            name,
            op_type: operation.into(),
            attribute: attributes.to_vec(),
        });
        outputs
    }

    fn unused_name(&mut self, name: &str) -> String {
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        loop {
            // There is always a next name.
            let Some(name) = names.next() else { return name.to_owned() };
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// A constant of this name, made where there is none yet.
    fn constant(&mut self, name: String, kind: DataType, dims: &[usize], bytes: impl FnOnce() -> Vec<u8>) -> Value {
        if self.names.insert(name.clone()) {
            self.constants.push(Constant {
                dims: dims.iter().map(|&dim| dim as i64).collect(),
                data_type: kind.into(),
                name: name.clone(),
                raw_data: Some(bytes()),
                ..Constant::default()
            });
        }
        name
    }

    /// A constant tensor of single precision.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        let bytes = || values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name.into(), DataType::Float, dims, bytes)
    }

    /// A constant tensor of whole numbers.
    pub(crate) fn integers(&mut self, name: &str, dims: &[usize], values: &[i64]) -> Value {
        let bytes = || values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name.into(), DataType::Int64, dims, bytes)
    }

    /// A number.
    pub(crate) fn float(&mut self, value: f32) -> Value {
        self.floats(&format!("constant.{value:?}"), &[], &[value])
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, value: i64) -> Value {
        self.integers(&format!("constant.{value}"), &[], &[value])
    }

    /// A list of whole numbers, such as axes or a shape.
    pub(crate) fn list(&mut self, values: &[i64]) -> Value {
        let name: Vec<String> = values.iter().map(i64::to_string).collect();
        self.integers(&format!("constant.[{}]", name.join(",")), &[values.len()], values)
    }

    /// A weight of the model.
    ///
    /// # Errors
    /// A weight that the model does not have.
    pub(crate) fn weight(&mut self, name: &str) -> nn::Result<Value> {
        let (dims, values) = self.values(name)?;
        Ok(self.floats(name, &dims, &values))
    }

    /// The shape and the numbers of a weight.
    fn values(&self, name: &str) -> nn::Result<(Vec<usize>, Vec<f32>)> {
        let weight = self.params.get(name)?;
        let values = weight.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        Ok((weight.dims().to_vec(), values?))
    }

    /// True if the model has this weight.
    fn has(&self, name: &str) -> bool {
        self.params.get(name).is_ok()
    }
}
