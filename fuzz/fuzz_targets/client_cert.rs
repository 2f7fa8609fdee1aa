#![no_main]

mesh_fuzz::fuzz!(CLIENT_CERT);
