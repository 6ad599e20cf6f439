//! Engines that run the program many times over one journal: GNU parallel, Slurm, Kubernetes, Spark
//! and cron, each by the very lines of README.md in this directory. Programs are killed, lines cut and
//! tasks repeated; each test ends with the stand-in's counts: every row answered, no run started twice.
//! An engine that is not installed is skipped aloud, unless `COZE_WORKFLOW_ENGINES` asks for all.

#![allow(clippy::unwrap_used)]

mod cron;
mod kubernetes;
mod page;
mod parallel;
mod slurm;
mod spark;
mod stage;
#[path = "../support/mod.rs"]
mod support;
