//! The systems that this project follows, row by row: a test's name begins with the number of its row.
#![cfg(test)]

mod api_keys;
mod attempts;
mod b3_networks;
mod configurations;
mod crossbar;
mod edges;
mod edges_delivered;
mod exemptions;
mod inheritance;
mod kount;
mod kount_devices;
mod kount_wire;
mod retention;
mod rows;
mod settings;
mod total_uptime;
mod total_uptime_duo;
mod total_uptime_methods;
mod web_sdk;
