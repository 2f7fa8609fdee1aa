#![no_main]

mesh_fuzz::fuzz!(ISSUED_LIST);
