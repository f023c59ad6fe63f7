//! Tests of the exchange.
#![allow(missing_docs)]

use super::Exchange;
use super::around::Answering;

pub trait TestTerminal: Send + Sync {
    fn answer<'a>(&'a self, exchange: &'a mut Exchange) -> Answering<'a>;
}
