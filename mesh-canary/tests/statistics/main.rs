//! What the statistics promise, tried in simulated rollouts: 1 000 a cell, or as many as `STATISTICS_RUNS` says. Without
//! optimization it is 50, so that the tests are compiled and run at all.

#![expect(clippy::print_stdout, reason = "the numbers are what one comes for")]

mod bounds;
mod power;
mod whole;
mod world;
