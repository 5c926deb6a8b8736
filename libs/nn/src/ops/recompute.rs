//! Gradient checkpointing (Chen et al., arXiv 1604.06174): of a block only the input is kept; the backward pass computes
//! the rest again.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, Var};

use super::{lend, output};

/// Collects the gradients of weights in blocks that a backward pass computes again, which are no nodes of its graph.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<GradStore>>>);

impl Tape {
    /// Runs a block whose graph is not kept. `block` must compute the same again from the same input.
    ///
    /// # Errors
    /// What `block` returns.
    pub fn block<E>(
        &self,
        x: &Tensor,
        block: impl Fn(&Tensor) -> std::result::Result<Tensor, E> + Send + Sync + 'static,
    ) -> std::result::Result<Tensor, E>
    where
        E: std::error::Error + Send + Sync + From<candle_core::Error> + 'static,
    {
        let output = Mutex::new(Some(block(x)?.detach()));
        // An operation on an input without a gradient would be no node of the graph, and the block's weights would get none.
        let x = if x.track_op() { x.clone() } else { Var::from_tensor(x)?.into_inner() };
        let block = Box::new(move |x: &Tensor| block(x).map_err(candle_core::Error::wrap));
        Ok(x.apply_op1(Recompute { output, block, tape: self.clone() })?)
    }

    /// The gradients of a loss, the weights of all blocks of this tape included.
    ///
    /// # Errors
    /// A block that fails when it is computed again.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore> {
        let mut grads = loss.backward()?;
        for part in taken(&self.0) {
            grads.extend(part)?;
        }
        Ok(grads)
    }
}

/// Takes the value out of a lock and leaves the default.
fn taken<T: Default>(lock: &Mutex<T>) -> T {
    std::mem::take(&mut *lock.lock().unwrap_or_else(PoisonError::into_inner))
}

type Block = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

struct Recompute {
    /// The output of the block, until the graph takes it.
    output: Mutex<Option<Tensor>>,
    block: Block,
    tape: Tape,
}

impl CustomOp1 for Recompute {
    fn name(&self) -> &'static str {
        "recompute"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some(block) = taken(&self.output) else { candle_core::bail!("recompute: the output was taken before") };
        lend([&block], |[values]| output(values.to_vec(), block.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let x = Var::from_tensor(&x.detach())?;
        let output = (self.block)(&x)?;
        let mut grads = output.apply_op1(Upstream(grad.contiguous()?))?.backward()?;
        let dx = grads.remove(&x);
        self.tape.0.lock().unwrap_or_else(PoisonError::into_inner).push(grads);
        Ok(dx)
    }
}

/// A scalar whose gradient is the given one.
struct Upstream(Tensor);

impl CustomOp1 for Upstream {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        output(vec![0.0], ())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}
