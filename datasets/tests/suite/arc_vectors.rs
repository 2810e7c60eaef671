//! Grids, symmetries, names, canvases and hashes of ARC against vectors recorded from the reference's functions.

use datasets::Dihedral;
use datasets::arc::{
    ArcError, Augmentation, ColourMap, Digest, EOS_TOKEN, Grid, PAD_TOKEN, Placement, SEQ_LEN, crop, encode, grid_hash,
    inverse_aug, puzzle_hash,
};
use datasets::numpy::LegacyGenerator;
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = crate::common::fixture(&format!("vectors/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).expect("the vectors are there")).expect("they are JSON")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn numbers(value: &Value) -> Vec<i64> {
    list(value).iter().map(|item| item.as_i64().expect("a number")).collect()
}

fn rows(value: &Value) -> Vec<Vec<u8>> {
    let row = |row| numbers(row).into_iter().map(|cell| u8::try_from(cell).expect("a colour")).collect();
    list(value).iter().map(row).collect()
}

/// A recorded grid; the one without rows is what cropping leaves of a prediction without colours.
fn grid(value: &Value) -> Grid {
    let rows = rows(value);
    if rows.is_empty() { Grid::empty() } else { Grid::from_rows(&rows).expect("a grid") }
}

fn is(hash: Digest, recorded: &Value) -> bool {
    Some(hash.to_string().as_str()) == recorded.as_str()
}

fn count(tokens: &[u8], wanted: u8) -> usize {
    tokens.iter().map(|&token| usize::from(token == wanted)).sum()
}

#[test]
fn dihedral_transforms_equal_the_reference() {
    let recorded = vectors("dihedral");
    let inverses: Vec<i64> = Dihedral::ALL.iter().map(|transform| transform.inverse().id() as i64).collect();
    assert_eq!(inverses, numbers(&recorded["DIHEDRAL_INVERSE"]));
    let cases = list(&recorded["cases"]);
    assert_eq!(cases.len(), 56);
    for case in cases {
        let transform = Dihedral::from_id(case["tid"].as_u64().expect("a number") as usize).expect("one of eight");
        let input = grid(&case["input"]);
        let output = input.transformed(transform);
        assert_eq!(output, grid(&case["output"]), "t{}", transform.id());
        assert_eq!(input.transformed(transform.inverse()), grid(&case["inverse_of_input"]), "t{}", transform.id());
        assert!(is(grid_hash(&input), &case["hash_input"]) && is(grid_hash(&output), &case["hash_output"]));
    }
}

#[test]
fn names_are_undone_as_in_the_reference() {
    let recorded = vectors("aug");
    let cases = list(&recorded["inverse_aug"]);
    assert_eq!(cases.len(), 52);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let (task, augmentation) = inverse_aug(name).expect("a valid name");
        assert_eq!(task, case["orig_name"], "{name}");
        let output = augmentation.undo(&grid(&case["input"]));
        assert_eq!(output, grid(&case["output"]), "{name}");
        assert!(is(grid_hash(&output), &case["output_hash"]), "{name}");
        assert_eq!(augmentation.apply(&output), grid(&case["input"]), "{name}");
    }
}

#[test]
fn augmentations_are_drawn_as_in_the_reference() {
    let recorded = &vectors("aug")["aug_stream_np_random_seed_42"];
    let mut rng = LegacyGenerator::new(42);
    let input = grid(&recorded["input"]);
    for call in list(&recorded["calls"]) {
        let augmentation = Augmentation::draw(&mut rng);
        let name = call["name"].as_str().expect("a name");
        let (task, parsed) = inverse_aug(name).expect("a valid name");
        assert_eq!((augmentation, augmentation.name(task).as_str()), (parsed, name));
        assert_eq!(augmentation.apply(&input), grid(&call["output"]), "{name}");
    }
}

#[test]
fn predictions_are_cropped_as_in_the_reference() {
    let recorded = vectors("crop");
    let cases = list(&recorded["cases"]);
    assert_eq!(cases.len(), 28);
    for case in cases {
        let label = &case["label"];
        let found = crop(&numbers(&case["input"]));
        let lines: Vec<Vec<u8>> = found.lines().map(<[u8]>::to_vec).collect();
        let shape = numbers(&case["output_shape"]);
        if shape.contains(&0) {
            assert_eq!(found, Grid::empty(), "{label}");
        } else {
            assert_eq!(lines, rows(&case["output"]), "{label}");
        }
        assert_eq!([found.rows() as i64, found.columns() as i64][..], shape, "{label}");
        assert!(is(grid_hash(&found), &case["hash"]), "{label}");
    }
}

#[test]
fn canvases_equal_the_reference_and_are_read_back() {
    for case in list(&vectors("encode")) {
        let (input, output) = (grid(&case["input"]), grid(&case["output"]));
        let placement = if case["do_translation"].as_bool().expect("a flag") {
            let mut rng = LegacyGenerator::new(11);
            Placement::draw(&mut rng, (input.rows(), input.columns()), (output.rows(), output.columns()))
        } else {
            Placement::CORNER
        };
        for (grid, field) in [(&input, "seq_in"), (&output, "seq_out")] {
            let mut tokens = [0; SEQ_LEN];
            encode(grid, &Augmentation::IDENTITY, placement, &mut tokens);
            let recorded = numbers(&case[field]);
            assert!(tokens.iter().map(|&token| i64::from(token)).eq(recorded), "{field} at {placement:?}");
            if placement == Placement::CORNER {
                assert_eq!(crop(&tokens), *grid);
            }
        }
    }
}

/// Encoding an augmented grid in one go is encoding the grid that `apply` makes.
#[test]
fn augmented_canvases_show_the_augmented_grid() {
    let mut rng = LegacyGenerator::new(3);
    let grid = Grid::from_rows(&[[1, 2, 3], [4, 5, 0]]).expect("a grid");
    for transform in Dihedral::ALL {
        let augmentation = Augmentation { transform, ..Augmentation::draw(&mut rng) };
        let augmented = augmentation.apply(&grid);
        let placement = Placement { row: 28 - transform.id() as u8, column: 27 };
        let placement = Placement { column: placement.column.min(30 - augmented.columns() as u8), ..placement };
        let placement = Placement { row: placement.row.min(30 - augmented.rows() as u8), ..placement };
        let (mut direct, mut indirect) = ([7; SEQ_LEN], [9; SEQ_LEN]);
        encode(&grid, &augmentation, placement, &mut direct);
        encode(&augmented, &Augmentation::IDENTITY, placement, &mut indirect);
        assert_eq!(direct, indirect, "{augmentation}");
    }
}

#[test]
fn a_grid_at_the_edge_has_no_end_there() {
    let grid = Grid::from_cells(30, 29, vec![0; 870]).expect("a grid");
    let mut tokens = [0; SEQ_LEN];
    encode(&grid, &Augmentation::IDENTITY, Placement::CORNER, &mut tokens);
    assert_eq!(count(&tokens, EOS_TOKEN), 30);
    assert_eq!(count(&tokens, PAD_TOKEN), 0);
    encode(&grid, &Augmentation::IDENTITY, Placement { row: 0, column: 1 }, &mut tokens);
    assert_eq!(count(&tokens, EOS_TOKEN), 0);
    assert_eq!(count(&tokens, PAD_TOKEN), 30);
}

#[test]
fn hashes_equal_the_reference() {
    let recorded = vectors("hashes");
    for case in list(&recorded["grid_hash"]) {
        assert!(is(grid_hash(&grid(&case["grid"])), &case["sha256"]));
    }
    for case in list(&recorded["puzzle_hash"]) {
        let mut pairs: Vec<_> =
            list(&case["examples"]).iter().map(|pair| [0, 1].map(|side| grid_hash(&grid(&pair[side])))).collect();
        let hash = puzzle_hash(pairs.iter().map(|pair| (pair[0], pair[1])));
        assert!(is(hash, &case["sha256"]));
        pairs.reverse();
        assert_eq!(puzzle_hash(pairs.iter().map(|pair| (pair[0], pair[1]))), hash, "order does not matter");
    }
}

#[test]
fn what_is_not_a_grid_is_refused() {
    let found = |rows: &[&[u8]]| Grid::from_rows(rows).expect_err("no grid").to_string();
    assert_eq!(found(&[]), "expected 1 to 30 rows, found 0");
    assert_eq!(found(&[&[]]), "expected 1 to 30 columns, found 0");
    assert_eq!(found(&[&[0; 31]]), "expected 1 to 30 columns, found 31");
    assert_eq!(found(&[&[0_u8][..]; 31]), "expected 1 to 30 rows, found 31");
    assert_eq!(found(&[&[1, 2], &[3]]), "expected 2 cells in row 2, as in row 1, found 1");
    assert_eq!(found(&[&[1, 2], &[3, 10]]), "expected a colour from 0 to 9 in row 2, column 2, found 10");
    assert!(Grid::from_cells(2, 2, vec![0; 5]).is_err());
}

#[test]
fn what_is_not_an_augmented_name_is_refused() {
    for name in [
        "a|||t8|||0123456789",
        "a|||t|||0123456789",
        "a|||3|||0123456789",
        "a|||t1|||012345678",
        "a|||t1|||0123456788",
        "a|||t1|||01234567890",
        "a|||t1|||012345678x",
        "a|||t1",
        "a|||t+1|||0123456789",
        "|||",
    ] {
        let error = inverse_aug(name).expect_err(name);
        assert_eq!(error, ArcError::Name { name: name.to_owned() });
    }
    assert_eq!(ColourMap::new([0; 10]), None);
    assert_eq!(ColourMap::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), None);
}
