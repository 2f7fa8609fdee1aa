#![no_main]

mesh_fuzz::fuzz!(SIGNED_LIST);
