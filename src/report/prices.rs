//! The report of `reprise prices`: prices by model and date.

use std::fmt;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle};
use jiff::civil::Date;
use serde::Serialize;

use crate::domain::{
    catalog::Catalog,
    price::{PicoDollars, Price, Prices},
};

/// The report of `reprise prices`.
#[derive(Debug, Serialize)]
pub struct PriceList {
    /// The date of the newest known prices.
    pub prices_as_of: String,
    /// The price of one web search, in US dollars.
    pub web_search: f64,
    /// The prices of all models.
    pub prices: Vec<PriceRow>,
}

/// One price of a model.
#[derive(Debug, Serialize)]
pub struct PriceRow {
    /// The price, in dollars per million tokens.
    #[serde(flatten)]
    pub price: Price,
    /// The first day on which the price is no longer valid; `None`: still open.
    pub until: Option<Date>,
    /// True for an imported price.
    pub imported: bool,
}

/// Selection of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceFilter {
    /// Current and future prices.
    Current,
    /// Past prices, too.
    All,
}

impl PriceList {
    /// Builds the list from `catalog`; `imported` are the prices in it that are not built in.
    pub fn of(catalog: &Catalog, imported: &[Price], which: PriceFilter, today: Date) -> Self {
        let mut prices = Vec::new();
        for model in catalog.models() {
            let mut until = None;
            prices.extend(model.prices.iter().rev().map(|dated| {
                let until = until.replace(dated.since);
                let price = Price { model: model.id.clone(), dated: *dated };
                let imported = imported.iter().any(|own| {
                    own.dated == *dated
                        && catalog.get(&own.model).is_some_and(|own| own.id == model.id)
                });
                PriceRow { price, until, imported }
            }));
        }
        prices.retain(|line| {
            which == PriceFilter::All || line.until.is_none_or(|until| until > today)
        });
        Self {
            prices_as_of: catalog.priced_on(today).to_string(),
            web_search: catalog.search_price().dollars_per_million() / 1e6,
            prices,
        }
    }
}

impl fmt::Display for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = |text: &str| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
        let headings = ["input", "output", "write 5m", "write 1h", "read"].map(right);
        table.set_header(["model", "since"].map(Cell::new).into_iter().chain(headings));
        for PriceRow { price: Price { model, dated }, until, imported } in &self.prices {
            let mark = if *imported { " *" } else { "" };
            let since = match until {
                Some(until) => format!("{} to {until}{mark}", dated.since),
                None => format!("{}{mark}", dated.since),
            };
            let cells = |prices: &Prices| columns(prices).map(|text| right(&text));
            let names = [Cell::new(model), Cell::new(since)];
            table.add_row(names.into_iter().chain(cells(&dated.prices)));
            if let Some(band) = &dated.long_prompt {
                let above = format!("  prompts over {}k tokens", band.above / 1_000);
                let names = [Cell::new(above), Cell::new("")];
                table.add_row(names.into_iter().chain(cells(&band.prices)));
            }
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 2 }, 0));
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(
            f,
            "\nUS dollars per million tokens, as of {}. A web search costs ${:.2}.",
            self.prices_as_of, self.web_search
        )?;
        if self.prices.iter().any(|line| line.imported) {
            writeln!(f, "*  imported")?;
        }
        Ok(())
    }
}

fn columns(prices: &Prices) -> [String; 5] {
    let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = *prices;
    [input, output, cache_write_5m, cache_write_1h, cache_read].map(dollars)
}

/// Formats a price with cents, and with more digits if it has them.
fn dollars(price: PicoDollars) -> String {
    let text = format!("{:.6}", price.dollars_per_million());
    let trimmed = text.trim_end_matches('0');
    let decimals = trimmed.len() - trimmed.find('.').unwrap_or(0) - 1;
    if decimals < 2 { format!("{:.2}", price.dollars_per_million()) } else { trimmed.to_owned() }
}
