//! A value with its JSON text, which is written at most once, for all who are told it.

use bytes::Bytes;
use proto::json;
use proto::value::Value;
use std::cell::OnceCell;

#[derive(Debug)]
pub struct Cell {
    value: Value,
    text: OnceCell<Bytes>,
}

impl Cell {
    pub fn new(value: Value) -> Cell {
        Cell { value, text: OnceCell::new() }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn text(&self) -> &Bytes {
        self.text.get_or_init(|| {
            let mut text = Vec::with_capacity(json::length(&self.value));
            json::write(&self.value, &mut text);
            text.into()
        })
    }
}
