//! Plots: cumulative regret of every policy on each trace, and where items went around its changes.

use std::fs;
use std::path::Path;

use plotters::prelude::*;

use crate::run::Outcome;

const COLOURS: [RGBColor; 10] = [
    RGBColor(200, 30, 30),
    RGBColor(150, 150, 150),
    RGBColor(90, 90, 90),
    RGBColor(190, 150, 90),
    RGBColor(120, 90, 40),
    RGBColor(40, 110, 190),
    RGBColor(60, 160, 190),
    RGBColor(110, 60, 170),
    RGBColor(30, 140, 70),
    RGBColor(220, 130, 180),
];

/// Writes one picture for each trace, of its first seed.
pub fn write(all: &[Vec<Outcome>], folder: &Path) {
    fs::create_dir_all(folder).expect("a folder of plots");
    for outcomes in all {
        let name = outcomes[0].trace.replace([':', ' '], "-");
        let first: Vec<_> = outcomes.iter().take(COLOURS.len()).collect();
        draw(&first, &folder.join(format!("{name}.svg"))).expect("a plot");
    }
}

fn cumulative(outcome: &Outcome) -> Vec<f64> {
    let (mut sum, mut oracle) = (0.0, 0.0);
    let total: f64 = outcome.oracle.iter().sum();
    let regrets = outcome.costs.iter().zip(&outcome.oracle).map(|(cost, best)| {
        sum += cost;
        oracle += best;
        100.0 * (sum - oracle) / total
    });
    regrets.collect()
}

fn draw(outcomes: &[&Outcome], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (960, 620)).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(470);
    let ours = cumulative(outcomes[0]);
    // The worst are off the picture: it is about those that come near.
    let mut ends: Vec<_> = outcomes.iter().map(|outcome| cumulative(outcome).last().copied().unwrap_or(0.0)).collect();
    ends.sort_by(f64::total_cmp);
    let top = (ends[ends.len() / 2] * 1.15).max(ours.last().copied().unwrap_or(0.0) * 1.5).max(1.0);
    let items = outcomes[0].items;
    let mut chart = ChartBuilder::on(&upper)
        .caption(format!("{}: cumulative regret", outcomes[0].trace), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0..items, -0.5..top)?;
    chart.configure_mesh().x_desc("items").y_desc("percent of the oracle's whole cost").light_line_style(WHITE.mix(0.0)).draw()?;
    for change in &outcomes[0].changes {
        chart.draw_series(LineSeries::new([(*change, -0.5), (*change, top)], BLACK.mix(0.35)))?;
    }
    for (outcome, colour) in outcomes.iter().zip(COLOURS).rev() {
        let width = if outcome.policy == "ours" { 3 } else { 1 };
        let points: Vec<_> = cumulative(outcome).into_iter().enumerate().step_by(20).filter(|(_, regret)| *regret <= top).collect();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(width)))?
            .label(format!("{} {:.1}%", outcome.policy, outcome.regret_percent(items)))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(width)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()?;
    // Where ours went: the share of the cloud among 50 items.
    let mut strip = ChartBuilder::on(&lower).margin(12).x_label_area_size(28).y_label_area_size(60).build_cartesian_2d(0..items, 0.0..100.0)?;
    strip.configure_mesh().disable_x_mesh().y_labels(3).y_desc("% in the cloud").light_line_style(WHITE.mix(0.0)).draw()?;
    let share = |sides: &[usize], at: usize| {
        let window = &sides[at.saturating_sub(50)..=at];
        100.0 * window.iter().sum::<usize>() as f64 / window.len() as f64
    };
    let points: Vec<_> = (0..items).step_by(10).map(|at| (at, share(&outcomes[0].sides, at))).collect();
    strip.draw_series(LineSeries::new(points, COLOURS[0].stroke_width(2)))?;
    for change in &outcomes[0].changes {
        strip.draw_series(LineSeries::new([(*change, 0.0), (*change, 100.0)], BLACK.mix(0.35)))?;
    }
    root.present()?;
    Ok(())
}
