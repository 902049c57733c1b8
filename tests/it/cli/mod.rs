//! The binary: its commands, its start and its end.

mod audit;
mod commands;
mod contracts;
mod crash;
mod demo;
mod doctor;
mod first_requests;
mod manual;
mod pipes;
mod replay;
mod seed;
mod startup;
mod verify;
