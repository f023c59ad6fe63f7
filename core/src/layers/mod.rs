//! Layers: what is done around every route, so that a refusal or a 404 is logged, counted and marked like any answer.

pub mod compress;
pub mod cors;
