//! Integer operations a second of both operations on one thread, at the sizes of the published Sudoku model and of the
//! shipped one: `cargo run --release -p kernels --example mixing_rate`.

use std::time::Instant;

use kernels::{ChannelMixing, Matrix, SwiGlu, TokenMixing, tile_tokens};

fn weight(inputs: usize, outputs: usize) -> (Vec<i8>, Vec<f32>) {
    let integers = (0..inputs * outputs).map(|index| (index * 7919 % 255) as u8 as i8);
    (integers.map(|value| value.max(-127)).collect(), vec![1e-3; outputs])
}

/// Seconds of the fastest of many calls.
fn fastest(mut call: impl FnMut()) -> f64 {
    let seconds = (0..50).map(|_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

fn main() {
    if !kernels::is_supported() {
        println!("this processor has no AVX-512 with VNNI");
        return;
    }
    println!("{:<10} {:>6} {:>6} {:>6} {:>9} {:>8}", "operation", "tokens", "hidden", "inner", "us", "Gop/s");
    for (tokens, hidden_size, channel_inner, token_inner) in [(97, 512, 1536, 512), (81, 128, 512, 256)] {
        let x: Vec<f32> = (0..tokens * hidden_size).map(|index| (index * 31 % 200) as f32 / 100.0 - 1.0).collect();
        let mut out = vec![0.0; x.len()];
        let report = |operation: &str, width: usize, inner: usize, others: usize, seconds: f64| {
            let operations = 2.0 * 3.0 * (width * inner * others) as f64;
            println!(
                "{operation:<10} {tokens:>6} {hidden_size:>6} {inner:>6} {:>9.1} {:>8.0}",
                seconds * 1e6,
                operations / seconds / 1e9
            );
        };
        let swiglu = |parts: &[(Vec<i8>, Vec<f32>); 3], call: &mut dyn FnMut(&SwiGlu<'_>)| {
            let [gate, up, down] = parts.each_ref().map(|(integers, scales)| Matrix { integers, scales });
            call(&SwiGlu { gate, up, down });
        };

        let parts = [(hidden_size, channel_inner), (hidden_size, channel_inner), (channel_inner, hidden_size)]
            .map(|(i, o)| weight(i, o));
        swiglu(&parts, &mut |weights| {
            let mixing = ChannelMixing::new(weights).expect("the sizes fit");
            let size = tile_tokens(tokens, 1) * hidden_size;
            let seconds = fastest(|| {
                for (x, out) in x.chunks(size).zip(out.chunks_mut(size)) {
                    mixing.tile(x, out, 1e-5);
                }
            });
            report("channels", hidden_size, channel_inner, tokens, seconds);
        });

        let parts = [(tokens, token_inner), (tokens, token_inner), (token_inner, tokens)].map(|(i, o)| weight(i, o));
        swiglu(&parts, &mut |weights| {
            let mixing = TokenMixing::new(weights).expect("the sizes fit");
            let seconds = fastest(|| {
                let mut rows: Vec<_> =
                    out.chunks_exact_mut(hidden_size).map(|row| row.as_chunks_mut().0.iter_mut()).collect();
                for channel in (0..hidden_size).step_by(TokenMixing::TILE_CHANNELS) {
                    let mut tile: Vec<_> = rows.iter_mut().map(|row| row.next().expect("a tile")).collect();
                    mixing.tile(&x, channel, &mut tile, 1e-5);
                }
            });
            report("tokens", tokens, token_inner, hidden_size, seconds);
        });
    }
}
