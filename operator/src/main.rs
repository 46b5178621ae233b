//! The operator's process: gets the Lease, runs the loop while it holds it, and ends.

use anyhow::{Context as _, bail};
use clap::Parser as _;
use operator::account;
use operator::client::Clients;
use operator::context::Context;
use operator::control::Control;
use operator::hold;
use operator::listing::Listing;
use operator::metrics::Metrics;
use operator::news::Teller;
use operator::nodes::Nodes;
use operator::ownership;
use operator::port::{self, Pulse};
use operator::probe::Probe;
use operator::settings::{Args, Config, LogFormat};
use operator::watch::touched;
use proto::shown::log_filter;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let config = Config::from(Args::parse());
    log(&config)?;
    let clients = Clients::infer()
        .await
        .context("cannot configure access to the Kubernetes API (kubeconfig or service account)")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let context = Arc::new(Context {
        client: clients.asking.clone(),
        nodes: Nodes::default(),
        teller: Teller::new(clients.asking.clone(), &config.identity),
        settings: config.settings.clone(),
        metrics: Metrics::default(),
        operator: ownership::name(&config.settings.operator_namespace, &config.lease),
        left_out: Mutex::default(),
    });
    let (stop, pulse) = (CancellationToken::new(), Pulse::default());
    let mut tasks = JoinSet::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("stopping on a signal"),
            _ = tokio::signal::ctrl_c() => {}
            () = stopping.cancelled() => {}
        }
        stopping.cancel();
        Ok(())
    });
    let (listing, listed) = watch::channel(Listing::default());
    let answering = port::serve(listener, context.clone(), pulse.clone(), listed, stop.clone());
    tasks.spawn(async { answering.await.context("the metrics server has stopped") });
    let probe = Probe { context: context.clone(), namespaces: config.namespaces.clone(), listing };
    let probing = probe.run(stop.clone());
    tasks.spawn(async {
        probing.await;
        Ok(())
    });
    tasks.spawn(lead(config, clients, context, pulse, stop.clone()));
    let mut end = Ok(());
    while let Some(ended) = tasks.join_next().await {
        // Whichever ends first ends the others.
        stop.cancel();
        end = end.and(ended.context("a task has failed").flatten());
    }
    end
}

/// Acts while it holds the Lease. One that loses it ends: whoever starts it again starts it without a past.
async fn lead(
    config: Config,
    clients: Clients,
    context: Arc<Context>,
    pulse: Pulse,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let namespace = &config.settings.operator_namespace;
    let client = clients.asking.clone();
    // Outside of a cluster there is no token.
    let token = tokio::fs::read_to_string(account::TOKEN).await.unwrap_or_default();
    let owner = account::owner(&token, namespace);
    let Some(mut held) =
        hold::acquire(client, namespace, &config.lease, &config.identity, owner.as_ref(), &stop).await
    else {
        return Ok(());
    };
    context.metrics.leader.set(1);
    let touched = touched(&clients.watching, &config.namespaces, &context.metrics);
    let control =
        Control::new(context.clone(), config.concurrency).run(touched, stop.clone(), move || pulse.beat());
    let mut control = pin!(control);
    tokio::select! {
        () = control.as_mut() => {}
        () = held.keep(&stop) => {
            if !stop.is_cancelled() {
                // What is under way is cut: another may act soon.
                bail!("the Lease {namespace}/{} is lost", config.lease);
            }
            control.await;
        }
    }
    context.metrics.leader.set(0);
    held.let_go().await;
    Ok(())
}

fn log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(log_filter(&config.log, "warn"))
        .with_context(|| format!("--log: `{}` is not a valid log filter", config.log))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
