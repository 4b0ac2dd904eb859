//! What people see of the hub: states, the admin API and the command, over a
//! world made by hand. One binary, because each costs a link of everything.

mod api;
mod api_lists;
mod api_stream;
mod api_write;
mod cli;
mod cli_act;
mod cli_errors;
mod cli_hub;
mod cli_test;
mod cli_validate;
mod dir;
mod docs;
mod explain;
mod explain_table;
mod files;
mod fixture;
mod objects;
mod plan;
mod schema;
mod status_properties;
mod status_table;
