//! What the chains cost, and a chain with an operation of one's own.

mod absolute;
mod counts;
