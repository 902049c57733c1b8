//! Phone numbers and e-mail addresses: masked, encrypted, found.

mod addresses;
mod canaries;
mod masking;
mod phones;
mod reindexing;
mod rotation;
mod sealing;
mod search;
mod spellings;
