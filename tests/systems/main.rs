//! The systems that this project follows, row by row: a test's name begins with the number of its row.
#![cfg(test)]

mod attempts;
mod configurations;
mod edges;
mod retention;
mod rows;
mod settings;
