//! Pictures: their pixels show what was drawn, and what they show can be read back.

use std::io::Cursor;

use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, encode};
use datasets::maze::{Cell, Maze, MazeRequest, MazeShape, generate, parse_cells};
use datasets::picture::{
    ARC_COLOURS, Animation, Attempts, MAX_FRAMES, MAX_PICTURE_SIDE, Picture, PictureError, Rgb, Scene, read_arc_grid,
    read_maze, task_sheet,
};
use datasets::sudoku::{PuzzleRequest, SudokuShape};
use datasets::{PuzzleRng, Task};
use image::{ImageFormat, RgbImage};

const RED: Rgb = [0xD0, 0x1C, 0x1C];
const AMBER: Rgb = [0xF5, 0x9E, 0x0B];

/// How many pixels of a picture have a colour.
fn count(picture: &Picture, colour: Rgb) -> usize {
    let places = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    places.filter(|&(x, y)| picture.pixel(x, y) == colour).count()
}

fn tokens(text: &str) -> Vec<i32> {
    parse_cells(text).expect("cells").1.into_iter().map(Cell::token).collect()
}

/// The bytes of a PNG drawn by somebody else, `scale` pixels per pixel.
fn png_of(width: usize, pixels: &[Rgb], scale: usize) -> Vec<u8> {
    let height = pixels.len() / width;
    let pixel = |x: u32, y: u32| pixels[y as usize / scale * width + x as usize / scale].into();
    let image = RgbImage::from_fn((width * scale) as u32, (height * scale) as u32, pixel);
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

#[test]
fn boards_of_every_size_show_givens_answers_and_errors() {
    for shape in SudokuShape::ALL {
        let drawn = datasets::sudoku::generate(&PuzzleRequest::minimal(shape), 5, 0).unwrap();
        let (input, label) = (drawn.puzzle.to_tokens(), drawn.solution.to_tokens());
        let task = Task::Sudoku(shape);
        let question = Scene::question(task, &input).draw().unwrap();
        let answer = Scene::answer(task, &input, &label).draw().unwrap();
        assert_eq!((question.width(), question.height()), (answer.width(), answer.height()));
        // 6x6 has one thick line more from left to right.
        assert!(question.height() - question.width() <= 2 && (120..600).contains(&question.width()));
        assert_ne!(question, answer);
        assert_eq!((count(&answer, RED), count(&answer, AMBER)), (0, 0));
        // One ring stands out on dark pages, the next on light ones.
        let luminance = |[red, green, blue]: Rgb| u32::from(red) + u32::from(green) + u32::from(blue);
        assert!(luminance(answer.pixel(0, 0)) > 700 && luminance(answer.pixel(2, 2)) < 250);

        let mut wrong = label.clone();
        let blank = input.iter().position(|&token| token == 1).unwrap();
        wrong[blank] = if label[blank] == 2 { 3 } else { 2 };
        let scene = Scene { label: Some(&label), before: Some(&input), ..Scene::answer(task, &input, &wrong) };
        assert_eq!(scene.wrong_cells(), 1);
        let judged = scene.draw().unwrap();
        assert!(count(&judged, RED) > 5, "the wrong digit is red");
        assert!(count(&judged, AMBER) > 100, "new digits are framed");
        let unjudged = Scene { label: None, ..scene }.draw().unwrap();
        assert_eq!(count(&unjudged, RED), 0, "nothing is called wrong without a label");
        // Whatever a model predicts can be drawn.
        let odd: Vec<i32> = (0..label.len() as i32).map(|token| token * 7 - 40).collect();
        assert!(Scene::answer(task, &input, &odd).draw().is_ok());
        let error = Scene::answer(task, &input, &label[1..]).draw().unwrap_err();
        assert!(matches!(error, PictureError::Length { what: "the answer", .. }), "{error}");
    }
}

#[test]
fn mazes_are_read_back_from_their_pictures() {
    for side in [5, 8, 15, 30, 40, 60] {
        let shape = MazeShape::from_side(side).unwrap();
        let (input, answer) = if side <= 40 {
            let solved = generate(&MazeRequest::hard(shape), 3, side as u64).unwrap();
            (solved.maze.to_tokens(), solved.answer().into_iter().map(Cell::token).collect::<Vec<_>>())
        } else {
            let mut cells = vec![Cell::Free; shape.cells()];
            (cells[3], cells[100]) = (Cell::Start, Cell::Goal);
            let maze = Maze::from_cells(shape, cells).unwrap();
            let path = maze.shortest_path().unwrap();
            (maze.to_tokens(), maze.marked(&path).into_iter().map(Cell::token).collect())
        };
        for shown in [&input, &answer] {
            let picture = Scene::answer(Task::Maze(shape), &input, shown).draw().unwrap();
            let found = read_maze(&picture.to_png().unwrap()).unwrap();
            let (found_shape, cells) = (found.square_shape(), found.cells().to_vec());
            let found: Vec<i32> = cells.into_iter().map(Cell::token).collect();
            assert_eq!((found_shape, &found), (shape, shown), "{side}");
        }
        let mut wrong = answer.clone();
        let mark = wrong.iter().position(|&token| token == 5).unwrap();
        wrong[mark] = 2;
        let scene = Scene { label: Some(&answer), ..Scene::answer(Task::Maze(shape), &input, &wrong) };
        assert!(count(&scene.draw().unwrap(), RED) > 0);
    }
}

/// Mazes from elsewhere: a pixel per cell, larger cells, thin lines between them, signs instead of colours.
#[test]
fn mazes_of_others_are_read() {
    let text = "#######\n#S  # #\n### # #\n#     #\n# ### #\n#   #G#\n#######";
    let expected = parse_cells(text).unwrap().1;
    let colour = |cell: &Cell| match cell {
        Cell::Wall => [0, 0, 0],
        Cell::Start => [0, 200, 0],
        Cell::Goal => [230, 20, 20],
        _ => [255, 255, 255],
    };
    let pixels: Vec<Rgb> = expected.iter().map(colour).collect();
    for scale in [1, 2, 7, 16] {
        assert_eq!(read_maze(&png_of(7, &pixels, scale)).unwrap().cells(), expected, "{scale} pixels per cell");
    }
    // Cells of 9 pixels with grey lines of 2 before, between and behind them.
    let side = 7 * 11 + 2;
    let lined: Vec<Rgb> = (0..side * side)
        .map(|pixel| match (pixel / side, pixel % side) {
            (y, x) if y % 11 < 2 || x % 11 < 2 => [128, 128, 128],
            (y, x) => pixels[y / 11 * 7 + x / 11],
        })
        .collect();
    assert_eq!(read_maze(&png_of(side, &lined, 1)).unwrap().cells(), expected);

    // Black signs on white cells, 5x7 dots each within cells of 12 pixels: S and G, and # for walls.
    let sign = |cell: &Cell| match cell {
        Cell::Start => [".###.", "#...#", "#....", ".###.", "....#", "#...#", ".###."],
        Cell::Goal => [".###.", "#...#", "#....", "#.###", "#...#", "#...#", ".###."],
        Cell::Wall => [".#.#.", ".#.#.", "#####", ".#.#.", "#####", ".#.#.", ".#.#."],
        _ => ["....."; 7],
    };
    let side = 7 * 12;
    let drawn: Vec<Rgb> = (0..side * side)
        .map(|pixel: usize| {
            let (y, x) = (pixel / side, pixel % side);
            let (row, column) = ((y % 12).wrapping_sub(2), (x % 12).wrapping_sub(3));
            let ink = row < 7 && column < 5 && sign(&expected[y / 12 * 7 + x / 12])[row].as_bytes()[column] == b'#';
            if ink { [0, 0, 0] } else { [255, 255, 255] }
        })
        .collect();
    assert_eq!(read_maze(&png_of(side, &drawn, 1)).unwrap().cells(), expected);

    let mut odd = pixels.clone();
    odd[8] = [230, 180, 20];
    let error = read_maze(&png_of(7, &odd, 3)).unwrap_err().to_string();
    assert!(error.contains("row 2, column 2 has the colour #E6B414"), "{error}");
    let cut = read_maze(&png_of(7, &pixels[..42], 4)).unwrap();
    assert_eq!((cut.rows(), cut.columns(), cut.cells()), (6, 7, &expected[..42]));
    let two_rows = read_maze(&png_of(7, &pixels[..14], 1)).unwrap_err();
    assert!(matches!(two_rows, PictureError::NoGrid { width: 7, height: 2, .. }), "{two_rows}");
}

#[test]
fn arc_grids_are_read_back() {
    let mut rng = PuzzleRng::from_seed(3);
    for (rows, columns) in [(1, 1), (1, 30), (2, 3), (7, 5), (10, 10), (16, 18), (30, 30)] {
        let cells: Vec<u8> = (0..rows * columns).map(|_| rng.below(10) as u8).collect();
        let grid = Grid::from_cells(rows, columns, cells).unwrap();
        let mut canvas = [0; SEQ_LEN];
        encode(&grid, &Augmentation::IDENTITY, Placement::CORNER, &mut canvas);
        let tokens = canvas.map(i32::from);
        let picture = Scene::question(Task::Arc, &tokens).draw().unwrap();
        assert_eq!(read_arc_grid(&picture.to_png().unwrap()), Ok(grid.clone()), "{rows}x{columns}");
        let pixels: Vec<Rgb> = grid.cells().iter().map(|&colour| ARC_COLOURS[usize::from(colour)]).collect();
        for scale in [1, 9] {
            assert_eq!(read_arc_grid(&png_of(columns, &pixels, scale)), Ok(grid.clone()), "{rows}x{columns}, {scale}");
        }
    }
    let error = read_arc_grid(&png_of(2, &[ARC_COLOURS[0], [1, 200, 200]], 4)).unwrap_err().to_string();
    assert!(error.contains("row 1, column 2 has the colour #01C8C8; expected one of ARC's ten colours"), "{error}");
    let tall: Vec<Rgb> = (0..31).map(|row| ARC_COLOURS[row % 2]).collect();
    assert!(matches!(read_arc_grid(&png_of(1, &tall, 1)), Err(PictureError::NoGrid { .. })));
}

#[test]
fn hostile_pictures_are_refused() {
    let good = png_of(3, &[[255, 255, 255]; 9], 10);
    let mut huge = good.clone();
    // Width and height of the header, whose checksum is then wrong as well; and one that only claims to be large.
    huge[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    let wide = png_of(MAX_PICTURE_SIDE as usize + 1, &vec![[0; 3]; MAX_PICTURE_SIDE as usize + 1], 1);
    for bytes in [&b""[..], b"GIF89a", &good[..good.len() / 2], &good[..33], &huge, &wide, &[0x89; 4096]] {
        for error in [read_maze(bytes).unwrap_err(), read_arc_grid(bytes).unwrap_err()] {
            assert!(matches!(error, PictureError::Decode { .. }), "{error}");
            assert!(error.to_string().len() < 300, "{error}");
        }
    }
    let error = read_maze(&vec![0; (16 << 20) + 1]).unwrap_err();
    assert_eq!(error, PictureError::TooManyBytes);
}

/// The GIF, decoded by its format's own rules, shows exactly the frames of the animation.
#[test]
fn animations_show_each_step() {
    let input = tokens("S   \n ## \n ## \n   G");
    let label = tokens("Sooo\n ##o\n ##o\n   G");
    let steps = [tokens("S   \no## \no## \n   G"), tokens("Soo \n ##o\n ##o\n   G"), label.clone(), label.clone()];
    let task = Task::Maze(MazeShape::from_side(4).unwrap());
    let animation = Animation::of_steps(task, &input, &steps, Some(&label)).unwrap();
    assert_eq!(animation.frames().len(), 5);
    let reds: Vec<bool> = animation.frames().iter().map(|frame| count(frame, RED) > 0).collect();
    assert_eq!(reds, [false, true, true, false, false]);
    let changes: Vec<bool> = animation.frames().iter().map(|frame| count(frame, AMBER) > 0).collect();
    assert_eq!(changes, [false, true, true, true, false]);

    let bytes = animation.to_gif().unwrap();
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(Cursor::new(&bytes)).unwrap();
    let (width, palette) = (u32::from(decoder.width()), decoder.global_palette().unwrap().to_vec());
    let mut screen = vec![[0; 3]; animation.frames()[0].width() as usize * animation.frames()[0].height() as usize];
    for expected in animation.frames() {
        let frame = decoder.read_next_frame().unwrap().expect("a frame per step");
        assert_ne!(frame.dispose, gif::DisposalMethod::Background);
        for (index, &place) in frame.buffer.iter().enumerate() {
            let (x, y) = (index as u32 % u32::from(frame.width), index as u32 / u32::from(frame.width));
            let at = (y + u32::from(frame.top)) * width + x + u32::from(frame.left);
            screen[at as usize] = palette[usize::from(place) * 3..][..3].try_into().unwrap();
        }
        let differs =
            (0..screen.len() as u32).find(|&at| screen[at as usize] != expected.pixel(at % width, at / width));
        assert_eq!(differs, None);
    }
    assert!(decoder.read_next_frame().unwrap().is_none());

    let none: [Vec<i32>; 0] = [];
    assert!(Animation::of_steps(task, &input, &none, None).is_err());
    let many = vec![input.clone(); MAX_FRAMES + 1];
    assert!(Animation::of_steps(task, &input, &many, None).unwrap_err().to_string().contains("1 to 256 steps"));
    assert!(Animation::of_steps(task, &input, &[vec![0; 3]], None).is_err());
}

/// Every task's animation fits the 256 colours of a GIF, with all kinds of cells in it.
#[test]
fn animations_of_all_tasks_fit_a_gif() {
    let mut rng = PuzzleRng::from_seed(8);
    for task in SudokuShape::ALL.map(Task::Sudoku).into_iter().chain([Task::Maze(MazeShape::HARD), Task::Arc]) {
        let (cells, vocabulary) = match task {
            Task::Sudoku(shape) => (shape.cells(), shape.vocab_size()),
            Task::Maze(shape) => (shape.cells(), MazeShape::VOCAB_SIZE),
            Task::Arc => (SEQ_LEN, datasets::arc::VOCAB_SIZE),
        };
        let mut row = || (0..cells).map(|_| rng.below(vocabulary as u32 + 2) as i32 - 1).collect::<Vec<_>>();
        let (input, label) = (row(), row());
        let steps = [row(), row(), label.clone()];
        let gif = Animation::of_steps(task, &input, &steps, Some(&label)).unwrap().to_gif().unwrap();
        assert!(gif.len() > 500, "{task}");
    }
}

#[test]
fn task_sheets_call_attempts_right_or_wrong() {
    let grid = |rows: &[&[u8]]| Grid::from_rows(rows).unwrap();
    let (a, b) = (grid(&[&[1, 2], &[3, 4]]), grid(&[&[4, 3, 2], &[0, 0, 9]]));
    let test = |solution: Option<&Grid>, attempts: &[&Grid]| Attempts {
        input: a.clone(),
        solution: solution.cloned(),
        attempts: attempts.iter().map(|&grid| grid.clone()).collect(),
    };
    let train = [(a.clone(), b.clone()), (b.clone(), a.clone())];
    let sheet = |tests: &[Attempts]| task_sheet("0a1b2c3d", &train, tests).unwrap();
    let (right, wrong) = ([0x55, 0xC7, 0x7F], [0xFF, 0x7B, 0x72]);
    let both = sheet(&[test(Some(&b), &[&b, &a])]);
    assert!(count(&both, right) > 20 && count(&both, wrong) > 20);
    let unknown = sheet(&[test(None, &[&b, &a])]);
    assert_eq!((count(&unknown, right), count(&unknown, wrong)), (0, 0));
    assert!(unknown.width() < both.width(), "no solution, no column for it");
    for colour in &ARC_COLOURS[..5] {
        assert!(count(&both, *colour) > 100, "{colour:?}");
    }
    assert!(task_sheet("none", &[], &[]).unwrap_err().to_string().contains("1 to 64 pairs, found 0"));
    let many = [test(None, &[&a; 17])];
    assert!(task_sheet("many", &train, &many).unwrap_err().to_string().contains("at most 16 attempts"));
}
