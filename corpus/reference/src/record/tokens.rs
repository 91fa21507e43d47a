// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Splits text into chunks such as a language model streams.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Digit,
    Letter,
    /// A letter of a script that is written without spaces.
    Unspaced,
    Symbol,
}

/// The tokens of the text, which joined are the text.
///
/// A word takes the space before it along; long words, emoji sequences and letters with many marks
/// are cut in the middle, as models do.
pub fn split(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (token, tail) = rest.split_at(first_token_len(rest));
        tokens.push(token);
        rest = tail;
    }
    tokens
}

fn first_token_len(text: &str) -> usize {
    let body = match text.strip_prefix(' ') {
        Some(body) if body.starts_with(|c| class(c) != Class::Space) => body,
        _ => text,
    };
    let Some(first) = body.chars().next().map(class) else {
        return text.len();
    };
    let run: usize = body
        .chars()
        .take_while(|c| class(*c) == first)
        .take(longest(first))
        .map(char::len_utf8)
        .sum();
    text.len() - body.len() + run
}

fn class(c: char) -> Class {
    match c {
        // Thai, Chinese characters and kana.
        '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' => {
            Class::Unspaced
        }
        // Combining marks and the virama of Devanagari, which belong to the letter before.
        '\u{300}'..='\u{36f}' | '\u{94d}' => Class::Letter,
        c if c.is_whitespace() => Class::Space,
        c if c.is_numeric() => Class::Digit,
        c if c.is_alphabetic() => Class::Letter,
        _ => Class::Symbol,
    }
}

fn longest(class: Class) -> usize {
    match class {
        Class::Space => usize::MAX,
        Class::Digit => 3,
        Class::Letter => 6,
        Class::Unspaced => 2,
        Class::Symbol => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_their_space_along_and_long_ones_are_cut() {
        assert_eq!(
            split("The harbourmaster said 1024."),
            ["The", " harbou", "rmaste", "r", " said", " 102", "4", "."]
        );
    }

    #[test]
    fn indentation_stays_together() {
        assert_eq!(
            split("a:\n\treturn  b "),
            ["a", ":", "\n\t", "return", "  ", "b", " "]
        );
    }

    #[test]
    fn unspaced_scripts_come_two_letters_at_a_time() {
        assert_eq!(split("港口水位。"), ["港口", "水位", "。"]);
    }

    #[test]
    fn joined_emoji_are_cut() {
        assert_eq!(
            split("\u{1f468}\u{200d}\u{1f469}"),
            ["\u{1f468}\u{200d}", "\u{1f469}"]
        );
    }

    #[test]
    fn no_text_has_no_tokens() {
        assert!(split("").is_empty());
    }
}
