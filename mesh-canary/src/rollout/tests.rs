mod cases;
mod invariants;
mod world;
