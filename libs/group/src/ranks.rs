//! Ranks of an MPI program.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{CommunicatorCollectives, Destination, Root, Source};
use mpi::{Rank, Threading};

use crate::TRANSPORT;
use crate::transport::Transport;

/// How long two ranks may take to connect: TCP asks five times within it.
const CONNECTED: Duration = Duration::from_secs(30);

/// Exit code of ranks that are not connected.
const FAILED: i32 = 1;

/// Runs the program as one of the ranks that `mpirun` or a scheduler has started, alone if it was started by itself. Ranks that do not
/// reach each other end it at once, with one line. It waits at the end until every rank has come to its own, so that none is ended early.
pub fn with_ranks(program: impl FnOnce() -> ExitCode) -> ExitCode {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        return program();
    };
    let world = universe.world();
    if world.size() > 1 {
        connect(&world);
        let ranks = Ranks { rank: world.rank() as usize, size: world.size() as usize };
        // Nobody else sets it.
        let _ = TRANSPORT.set(Box::new(ranks));
    }
    let code = program();
    drop(universe);
    code
}

/// Exchanges a byte with every other rank. Open MPI connects two ranks when they first have something to say, only warns if that
/// fails, and waits for ever.
fn connect(world: &SimpleCommunicator) {
    let own = world.rank();
    let sent = 0u8;
    let mut received = vec![0u8; world.size() as usize];
    mpi::request::scope(|scope| {
        let others = (0..world.size()).filter(|rank| *rank != own);
        let sends: Vec<_> = others.map(|rank| world.process_at_rank(rank).immediate_send(scope, &sent)).collect();
        let buffers = (0..).zip(&mut received).filter(|(rank, _)| *rank != own);
        let mut awaited: Vec<_> = buffers
            .map(|(rank, buffer)| (rank, world.process_at_rank(rank).immediate_receive_into(scope, buffer)))
            .collect();
        let begin = Instant::now();
        while !awaited.is_empty() {
            awaited = awaited.into_iter().filter_map(|(rank, request)| Some((rank, request.test().err()?))).collect();
            if let Some((rank, _)) = awaited.first()
                && begin.elapsed() > CONNECTED
            {
                // Nothing is left to tell the user with if stderr itself is closed.
                let _ = writeln!(std::io::stderr(), "{}", not_connected(own, *rank));
                world.abort(FAILED);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        sends.into_iter().for_each(|send| send.wait_without_status());
    });
}

/// The error line of a rank that another does not reach.
fn not_connected(own: Rank, other: Rank) -> String {
    let host = mpi::environment::processor_name().unwrap_or_default();
    format!(
        "error (rank {own}): expected a connection with rank {other} within {CONNECTED:?}, found none on {host}; let every host open \
         TCP connections to every other (routes, firewalls, --mca btl_tcp_if_include), and run the same command again"
    )
}

/// The world of an MPI program.
#[derive(Debug)]
struct Ranks {
    rank: usize,
    size: usize,
}

impl Transport for Ranks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) {
        SimpleCommunicator::world().all_gather_into(own, all);
    }

    fn all_gather_values(&self, own: &[f32], all: &mut [f32]) {
        SimpleCommunicator::world().all_gather_into(own, all);
    }

    fn all_to_all(&self, own: &[f32], received: &mut [f32]) {
        SimpleCommunicator::world().all_to_all_into(own, received);
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        SimpleCommunicator::world().process_at_rank(0).broadcast_into(bytes);
    }

    fn abort(&self, code: i32) {
        SimpleCommunicator::world().abort(code);
    }
}
