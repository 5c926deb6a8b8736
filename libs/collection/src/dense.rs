//! Documents by the vectors of a bi-encoder.

use std::sync::Arc;

use anyhow::Context;
use candle_core::{Device, Tensor};
use pipeline::config::BaseModel;
use tables::StageDir;

use crate::Corpus;
use crate::collection::Found;
use crate::vectors::{VectorSource, Vectors};

/// The vectors of a run's queries and documents.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    documents: Arc<Vectors>,
    queries: Arc<Vectors>,
    /// Those of the generated queries, which follow the run's own: `[n, dimensions]`.
    generated: Option<Tensor>,
}

impl Dense {
    /// Opens the vectors that the stage `embed` has made by `model` of this corpus.
    pub(crate) fn open(embed: &StageDir, corpus: &Corpus, model: &BaseModel) -> anyhow::Result<Dense> {
        let folder = embed.folder(crate::VECTORS)?;
        let open = |file: &str, texts: String| {
            Vectors::open(&folder.join(file), &VectorSource { model: String::from(model.clone()), texts }).map(Arc::new)
        };
        Ok(Dense {
            documents: open(crate::DOCUMENT_VECTORS, corpus.documents().digest().to_string())?,
            queries: open(crate::QUERY_VECTORS, corpus.digest_of_queries())?,
            generated: None,
        })
    }

    /// This one with the vectors of generated queries, in their order.
    pub(crate) fn with_generated(self, vectors: Vec<Vec<f32>>) -> anyhow::Result<Dense> {
        let generated = match vectors.is_empty() {
            true => None,
            false => Some(Tensor::new(vectors, &Device::Cpu)?),
        };
        Ok(Dense { generated, ..self })
    }

    /// The vector of a query: `[1, dimensions]`.
    fn of_query(&self, query: usize) -> anyhow::Result<Tensor> {
        let Some(number) = query.checked_sub(self.queries.len()) else { return self.queries.rows(query, 1) };
        let generated = self.generated.as_ref().context("expected vectors of generated queries, found none")?;
        Ok(generated.narrow(0, number, 1)?)
    }

    /// The documents with the largest cosine for each of `queries`, largest first, at most `k` each.
    pub(crate) fn best(&self, queries: &[usize], k: usize) -> anyhow::Result<Vec<Found>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = queries.iter().map(|&query| self.of_query(query)).collect::<anyhow::Result<Vec<_>>>()?;
        let found = self.documents.nearest(&Tensor::cat(&vectors, 0)?, k)?;
        let wide = |found: Vec<(usize, f32)>| found.into_iter().map(|(document, cosine)| (document, f64::from(cosine)));
        Ok(found.into_iter().map(|found| wide(found).collect()).collect())
    }

    /// The cosines of `documents` for a query.
    pub(crate) fn scores(&self, query: usize, documents: &[usize]) -> anyhow::Result<Vec<f64>> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let rows = documents.iter().map(|&document| self.documents.rows(document, 1));
        let rows = Tensor::cat(&rows.collect::<anyhow::Result<Vec<_>>>()?, 0)?;
        let cosines = rows.matmul(&self.of_query(query)?.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(cosines.into_iter().map(f64::from).collect())
    }
}
