#![no_main]

mesh_fuzz::fuzz!(SPIFFE_ID);
