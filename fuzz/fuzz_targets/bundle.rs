#![no_main]

mesh_fuzz::fuzz!(BUNDLE);
