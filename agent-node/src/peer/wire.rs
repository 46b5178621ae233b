//! Frames between nodes, from and to the generated types, which stop here.

mod input;
mod output;

pub use input::{Incoming, configuration, hello, open};
pub use output::{Batch, Reading, configuration_out, report_out};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is out of its range")]
    Range(&'static str),
    #[error(transparent)]
    Value(#[from] proto::binary::Error),
}

#[cfg(test)]
mod tests;
