//! Every operation of the contract, and the contract itself.

mod compatibility;
mod contract;
mod costs;
mod coverage;
mod patterns;
mod reads_well;
