#![no_main]

mesh_fuzz::fuzz!(REVOCATION_LIST);
