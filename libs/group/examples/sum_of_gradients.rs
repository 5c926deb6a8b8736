//! The time that ranks need to add up gradients: mpirun -n 2 sum_of_gradients 22000000.

use std::process::ExitCode;
use std::time::Instant;

const ROUNDS: usize = 7;

fn main() -> ExitCode {
    group::with_ranks(|| {
        let Some(values) = std::env::args().nth(1).and_then(|count| count.parse().ok()) else {
            eprintln!("expected a number of gradients");
            return ExitCode::from(2);
        };
        let mut gradients = vec![1.0_f32; values];
        let mut seconds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                // Ranks begin together.
                group::gather(Vec::new());
                let started = Instant::now();
                group::sum(&mut gradients, group::size());
                started.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        if group::is_first() {
            let (ranks, median) = (group::size(), seconds[ROUNDS / 2]);
            println!(
                "{values} gradients, {ranks} ranks: {median:.3} s (of {ROUNDS} rounds: {:.3} to {:.3})",
                seconds[0],
                seconds[ROUNDS - 1]
            );
        }
        ExitCode::SUCCESS
    })
}
