//! smartops-controller: arguments in, exit code out. Everything else is wired in `app`.

use clap::Parser;
use smartops_controller::app;
use smartops_controller::args::Args;

fn main() -> anyhow::Result<()> {
    app::run(&Args::parse())
}
