//! Every operation of the contract, and the contract itself.

mod contract;
mod coverage;
mod reads_well;
