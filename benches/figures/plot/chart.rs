//! One chart: axes with units, a legend, and a caption that names the data set and the machine.

use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use crate::run::{self, Result};

const SIZE: (u32, u32) = (1_140, 540);
/// Where the legend begins: beside the chart, where it covers no line.
const LEGEND_AT: u32 = 890;
const FONT: &str = "sans-serif";

/// Told apart also without colour vision. Source: Okabe and Ito (2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it shows, with its unit.
    pub(super) title: String,
    pub(super) scale: Scale,
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Dashed, in the colour of the one before if that is not.
    pub(super) dashed: bool,
}

/// A chart that was not drawn yet.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// The name of its file.
    pub(super) file: String,
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

impl Chart {
    /// Writes it as SVG.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| format!("cannot draw {}: {e}", path.display());
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|e| failed(&e))?;
        let (left, right) = root.split_horizontally(LEGEND_AT);
        self.words(&root).map_err(|e| failed(&e))?;
        self.lines(&left).map_err(|e| failed(&e))?;
        self.legend(&right).map_err(|e| failed(&e))?;
        root.present().map_err(|e| failed(&e))?;
        Ok(())
    }

    fn words<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        root.draw(&Text::new(
            self.title.clone(),
            (20, 14),
            (FONT, 21).into_font(),
        ))?;
        let small = (FONT, 12).into_font().color(&RGBColor(90, 90, 90));
        root.draw(&Text::new(self.caption.clone(), (20, 44), small))
    }

    fn lines<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let x = self.x.ticks(self.values(|point| point.0), Room::Little);
        let y = self.y.ticks(self.values(|point| point.1), Room::Whole);
        let mut chart = ChartBuilder::on(root)
            .margin(20)
            .margin_top(66)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(70)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x.title.as_str())
            .y_desc(self.y.title.as_str())
            .axis_desc_style((FONT, 15))
            .label_style((FONT, 13))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(222, 222, 222))
            .draw()?;
        for (series, style) in self.series.iter().zip(self.styles()) {
            let place = |&(x, y): &(f64, f64)| (self.x.place(x), self.y.place(y));
            let points: Vec<(f64, f64)> = series.points.iter().map(place).collect();
            let dots = points.iter().map(|&at| Circle::new(at, 3, style.filled()));
            chart.draw_series(dots)?;
            let line = points.iter().copied();
            if series.dashed {
                chart.draw_series(DashedLineSeries::new(line, 6, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(line, style))?;
            }
        }
        Ok(())
    }

    /// What each line shows.
    fn legend<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let mut y = 76;
        for (series, style) in self.series.iter().zip(self.styles()) {
            let ends: &[(i32, i32)] = if series.dashed {
                &[(0, 9), (13, 22)]
            } else {
                &[(0, 22)]
            };
            for (from, to) in ends {
                area.draw(&PathElement::new([(*from, y), (*to, y)], style))?;
            }
            let name = series.name.clone();
            area.draw(&Text::new(name, (30, y - 7), (FONT, 13).into_font()))?;
            y += 20;
        }
        Ok(())
    }

    /// The colours of the lines, in their order.
    fn styles(&self) -> Vec<ShapeStyle> {
        let mut colour = 0;
        let mut styles = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            if at > 0 && !(series.dashed && !self.series[at - 1].dashed && self.pairs()) {
                colour += 1;
            }
            styles.push(ShapeStyle::from(&COLOURS[colour % COLOURS.len()]).stroke_width(2));
        }
        styles
    }

    /// Whether each line comes with a dashed one.
    fn pairs(&self) -> bool {
        let dashed = self.series.iter().filter(|it| it.dashed).count();
        dashed > 0 && dashed * 2 == self.series.len()
    }

    fn values(&self, of: impl Fn(&(f64, f64)) -> f64) -> Vec<f64> {
        let points = self.series.iter().flat_map(|it| &it.points);
        points.map(of).collect()
    }
}

/// What is left free beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// So that points do not stand on the edge.
    Little,
    /// Up to whole powers of ten.
    Whole,
}

/// An axis with its ends and the places that are labelled.
struct Ticks {
    axis: Axis,
    range: Range<f64>,
    places: Vec<f64>,
}

impl Ranged for Ticks {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.places.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Ticks {
    fn format_ext(&self, value: &f64) -> String {
        self.axis.label(*value)
    }
}

impl Axis {
    fn ticks(&self, values: Vec<f64>, room: Room) -> Ticks {
        let (range, places) = self.range(values, room);
        Ticks {
            axis: self.clone(),
            range,
            places,
        }
    }

    /// Where a value stands.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
        }
    }

    /// What a place is called.
    fn label(&self, place: f64) -> String {
        let value = match self.scale {
            Scale::Linear => place,
            Scale::Log => 10_f64.powf(place),
        };
        if value >= 0.999 {
            let whole = (value - value.round()).abs() < 0.01 * value;
            return if whole {
                run::count(value)
            } else {
                format!("{value:.1}")
            };
        }
        let digits = (-value.max(1e-9).log10()).ceil().max(0.0) as usize;
        let shown = format!("{value:.digits$}");
        if value == 0.0 { "0".to_owned() } else { shown }
    }

    /// From where to where, and which places are labelled.
    fn range(&self, values: Vec<f64>, room: Room) -> (Range<f64>, Vec<f64>) {
        match self.scale {
            Scale::Linear => {
                let most = values.into_iter().fold(0.0, f64::max).max(1e-9);
                let power = 10_f64.powf(most.log10().floor());
                let steps = [0.1, 0.2, 0.5, 1.0, 2.0].map(|it| it * power);
                let fits = |step: &&f64| most / **step <= 10.0;
                let step = steps.iter().find(fits).copied().unwrap_or(power);
                let count = (most / step).ceil() as u32;
                let places = (0..=count).map(|n| f64::from(n) * step).collect();
                (0.0..f64::from(count) * step, places)
            }
            Scale::Log => {
                let places = values.into_iter().map(|it| self.place(it));
                let (least, most) = places.fold((f64::MAX, f64::MIN), |(least, most), it| {
                    (least.min(it), most.max(it))
                });
                let (from, to) = match room {
                    Room::Little => (least - 0.15, most + 0.15),
                    Room::Whole => ((least - 0.1).floor(), (most + 0.1).ceil()),
                };
                let few = to - from < 2.5;
                let mut labelled = Vec::new();
                for power in from.floor() as i32..=to.ceil() as i32 {
                    for part in if few {
                        &[1.0, 2.0, 5.0][..]
                    } else {
                        &[1.0][..]
                    } {
                        let place = f64::from(power) + f64::log10(*part);
                        if (from..=to).contains(&place) {
                            labelled.push(place);
                        }
                    }
                }
                (from..to, labelled)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis {
            title: String::new(),
            scale,
        }
    }

    #[test]
    fn axes_hold_all_values_and_are_labelled_with_round_numbers() {
        let log = axis(Scale::Log);
        let (range, places) = log.range(vec![39.0, 10_000.0], Room::Little);
        assert!(range.start <= 39_f64.log10() && range.end >= 4.0);
        let labels: Vec<String> = places.iter().map(|it| log.label(*it)).collect();
        assert!(labels.contains(&"1,000".to_owned()), "{labels:?}");
        assert_eq!(log.label(-2.0), "0.01");

        let linear = axis(Scale::Linear);
        let (range, places) = linear.range(vec![3.0, 17_300.0], Room::Little);
        assert!(range.end >= 17_300.0 && places.len() <= 12);
        assert_eq!(linear.label(places[1]), "2,000");
        assert_eq!(linear.label(0.0), "0");
    }
}
