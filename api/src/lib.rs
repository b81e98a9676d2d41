//! Daybook's server: the HTTP API, the vendor surfaces, the sandbox PSP and the command line.
//!
//! In reading order: `config` and `startup`; `app`, what every request shares; `orders`, the use cases that every
//! surface shares; `http`, what every route needs; `v1`, the native API; `audit`; `feed`; `surfaces`, the vendors' doors, and
//! `cards`; `webhooks`; `notifications`; `timers`; operations (`health`, `metrics`, `openapi`); and `cli`.
//!
//! What must stay true: a surface knows its own words and `orders`, and no other surface; nothing here decides what
//! may happen to an order.

pub mod app;
pub mod audit;
pub mod cards;
pub mod cli;
pub mod config;
pub mod connections;
pub mod feed;
pub mod health;
pub mod http;
pub mod metrics;
pub mod notifications;
pub mod openapi;
pub mod orders;
pub mod personal_data;
pub mod sandbox;
pub mod startup;
pub mod surfaces;
pub mod tenants;
pub mod timers;
pub mod tokens;
pub mod v1;
pub mod webhooks;
