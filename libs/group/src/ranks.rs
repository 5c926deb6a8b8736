//! Ranks of an MPI program.

use std::process::ExitCode;

use mpi::Threading;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{CommunicatorCollectives, Root};

use crate::TRANSPORT;
use crate::transport::Transport;

/// Runs the program as one of the ranks that `mpirun` or a scheduler has started, alone if it was started by itself. It waits at the
/// end until every rank has come to its own, so that none is ended early.
pub fn with_ranks(program: impl FnOnce() -> ExitCode) -> ExitCode {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        return program();
    };
    let world = universe.world();
    if world.size() > 1 {
        let ranks = Ranks { rank: world.rank() as usize, size: world.size() as usize };
        // Nobody else sets it.
        let _ = TRANSPORT.set(Box::new(ranks));
    }
    let code = program();
    drop(universe);
    code
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
