//! Times the mixers of sites on one thread: `cargo run --release -p kernels --example site_rate`.

use std::time::Instant;

use kernels::sites::{Serial, SiteSwiGlu, UnitsMixing};

/// Sites of a Sudoku of 9 × 9 in the middle of a run, and of a 30 × 30 maze of which a third is walls.
const CANDIDATES: usize = 218;
const CELLS: usize = 570;
const WIDTH: usize = 64;
const INNER: usize = 128;
const POOL: usize = 32;
const EPS: f32 = 1e-5;

fn main() -> Result<(), kernels::ShapeError> {
    let values = |count: usize| -> Vec<f32> { (0..count).map(|at| (at as f32 * 0.7).sin() * 0.2).collect() };
    let units = UnitsMixing::new(WIDTH, POOL, &values(3 * POOL * WIDTH), &values(3 * POOL * WIDTH))?;
    let mlp = SiteSwiGlu::new(WIDTH, &values(2 * INNER * WIDTH), &values(INNER * WIDTH), &[])?;
    let local = SiteSwiGlu::new(WIDTH, &values(2 * INNER * WIDTH), &values(INNER * WIDTH), &values(9 * INNER))?;
    // Each kind has 55 units, as many as are left of 81.
    let of_kind = 55;
    let unit_links: Vec<i32> = (0..CANDIDATES * 4).map(|at| (at % 4 * of_kind + at / 4 % of_kind) as i32).collect();
    let cell_links: Vec<i32> = (0..CELLS * 9).map(|at| ((at / 9 + at % 9) % (CELLS + 1)) as i32).collect();

    let x = values(CANDIDATES * WIDTH);
    let products = CANDIDATES * 3 * POOL * WIDTH + 4 * of_kind * POOL * WIDTH;
    report("units mixing", products, || {
        let mut out = vec![0.0; x.len()];
        units.board(&Serial, &x, &unit_links, 4 * of_kind, EPS, &mut out);
    });
    report("channel mixing", CANDIDATES * 3 * INNER * WIDTH, || {
        let mut out = vec![0.0; x.len()];
        mlp.sites(&Serial, &x, EPS, &mut out);
    });
    let x = values(CELLS * WIDTH);
    report("local mixing", CELLS * 3 * INNER * WIDTH, || {
        let mut out = vec![0.0; x.len()];
        local.board(&Serial, &x, &cell_links, EPS, &mut out);
    });
    Ok(())
}

/// The median of many runs.
fn report(name: &str, multiplications: usize, mut run: impl FnMut()) {
    let mut seconds: Vec<f64> = (0..400)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!("{name}: {:.0} µs, {:.1} GFLOP/s", median * 1e6, 2e-9 * multiplications as f64 / median);
}
