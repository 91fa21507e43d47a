// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! What the recorded flows say: texts in many scripts, and code, which is hard on escaping.

use super::Delivery::{Streamed, WholeAfter, WholeBefore};
use super::{Flow, Part, Step};

/// A flow that streams and ends well.
pub const REPORT: Flow = Flow {
    name: "Harbour report",
    backend: "anthropic",
    steps: &[
        Step {
            name: "Gather",
            step_type: "tool_use",
            delivery: Streamed,
            thinking_ms: 45,
            tokens_input: 318,
            parts: &[
                Part::Text(
                    "I'll read last night's gauge first, then compare it with the tide table.",
                ),
                Part::ToolCall {
                    tool_name: "read_gauge",
                    content: r#"{
  "gauge": "North Quay \"B\"",
  "from": "2026-03-04T18:00:00+01:00",
  "fields": ["level_cm", "wind_m_s", "note"],
  "where": {"note": "Böe über 20 m/s — 突風 ⚓", "path": "C:\\gauges\\north\\b.csv"},
  "limit": 96
}"#,
                },
                Part::Text(
                    r#" The gauge "North Quay B" has 96 readings. The highest is 412 cm at 03:40, 37 cm above the forecast; two readings (at 02:10 and 02:15) are missing.

"#,
                ),
            ],
            success: true,
        },
        Step {
            name: "Explain",
            step_type: "generate",
            delivery: Streamed,
            thinking_ms: 80,
            tokens_input: 641,
            parts: &[Part::Text(
                "# What happened at the quay\n\n\
                 Shortly before four in the morning the water stood higher than in any night of the \
                 past eleven years. Nobody was hurt. The wind had turned to the north-west at midnight \
                 and pushed the ebb back into the basin, so that the next flood came on top of water \
                 which should long have been gone.\n\n\
                 - **Pontoon 3**: two chains broke; the naïve \"quick fix\" of 2019 did not hold.\n\
                 - **Fish hall**: 8 cm of water on the floor, pumps started at 03:52.\n\
                 - **Ferry**: the 05:30 was cancelled, the 06:15 left on time.\n\n\
                 The forecast wasn't wrong so much as late: it knew about the wind, but it didn't know \
                 that the basin was still full.\n",
            )],
            success: true,
        },
        Step {
            name: "Translate — für alle 🌍",
            step_type: "generate",
            delivery: Streamed,
            thinking_ms: 65,
            tokens_input: 902,
            parts: &[
                Part::Text(
                    "Deutsch: Kurz vor vier Uhr stand das Wasser höher als in jeder Nacht der letzten elf \
                     Jahre. Die Hochwasserschutzbeauftragte prüft größere Ketten für die Pontons.\n\
                     Русский: Перед рассветом вода поднялась выше, чем за последние одиннадцать лет. Паром \
                     в половине шестого отменили.\n\
                     العربية: ارتفع الماء قبل الفجر إلى أعلى مستوى منذ أحد عشر عامًا، ولم يُصب أحد.\n\
                     עברית: לפני עלות השחר עלו המים לגובה שלא נראה כאן אחת עשרה שנים, ואיש לא נפגע.\n\
                     हिन्दी: भोर से पहले पानी पिछले ग्यारह वर्षों में सबसे ऊँचा था, पर किसी को चोट नहीं आई।\n\
                     中文：凌晨四点前，水位达到十一年来的最高点，所幸无人受伤。\n\
                     日本語：午前四時前、水位はこの十一年で最も高くなりましたが、けが人はいませんでした。\n\
                     한국어: 새벽 네 시 직전에 수위가 십일 년 만에 가장 높아졌지만 다친 사람은 없었습니다.\n\
                     ไทย: ก่อนตีสี่ ระดับน้ำสูงที่สุดในรอบสิบเอ็ดปี แต่ไม่มีใครบาดเจ็บ\n",
                ),
                // Spelt as escapes, since an editor would show or even store them otherwise.
                Part::Text(
                    "Crew on duty: \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \
                     \u{1f469}\u{1f3fd}\u{200d}\u{1f692} \u{1f1f3}\u{1f1f4} \u{2764}\u{fe0f}\u{200d}\u{1f525}\n\
                     Signed: Zoe\u{308} Nu\u{301}n\u{303}ez, A\u{30a}ngstro\u{308}m pier, \
                     s\u{323}\u{307}tamp Z\u{351}\u{36b}\u{343}a\u{328}\u{30c}\n",
                ),
            ],
            success: true,
        },
        Step {
            name: "Automate",
            step_type: "code",
            delivery: Streamed,
            thinking_ms: 50,
            tokens_input: 1377,
            parts: &[Part::Text(
                r##"Here is the alarm as a small service.

```rust
/// Tells whether the water is still "coming" (\u{2191}) or already going.
fn trend(levels: &[f64]) -> Option<char> {
    let [.., before, now] = levels else { return None };
    Some(if now > before { '\u{2191}' } else { '\\' })
}
```

```python
import re

LINE = re.compile(r"^(\d{2}):(\d{2})\t\"?(-?\d+)\"?\s*$")

def read(path="C:\\gauges\\north\\b.csv"):
	"""Tabs on purpose: the logger's own style."""
	with open(path, encoding="utf-8") as lines:
		return [LINE.match(line).groups() for line in lines if line != "\n"]
```

```json
{"alarm": {"above_cm": 380, "say": "Wasser \"hoch\"!\n\u2028", "url": "https:\/\/harbour.example\/b"}}
```

```html
<p class="level" title='412 cm & rising'>412&nbsp;cm</p>
<script>if (level > 380 && !seen["b"]) { alert('Up!\\n'); }</script>
```

That's all: one file, no dependency. 🚢
"##,
            )],
            success: true,
        },
    ],
    error: None,
};

/// A flow whose backend breaks off in the middle of the second step.
pub const FAILED: Flow = Flow {
    name: "Nightly digest",
    backend: "anthropic",
    steps: &[
        Step {
            name: "Outline",
            step_type: "generate",
            delivery: Streamed,
            thinking_ms: 40,
            tokens_input: 154,
            parts: &[Part::Text(
                "1. Arrivals and departures\n2. Repairs («Ponton 3»)\n3. What the night watch heard",
            )],
            success: true,
        },
        Step {
            name: "Draft",
            step_type: "generate",
            delivery: Streamed,
            thinking_ms: 70,
            tokens_input: 231,
            parts: &[Part::Text(
                "Four ships came in before midnight, all of them late. The first, a coaster with \
                 timber from Oulu, lost her anch",
            )],
            success: false,
        },
    ],
    error: Some(
        "backend closed the connection: \"overloaded\"\n\tat step Draft in C:\\flows\\digest",
    ),
};

/// A flow of a backend that gives each output as a whole.
pub const UNSTREAMED: Flow = Flow {
    name: "Invoice check",
    backend: "batch",
    steps: &[
        Step {
            name: "Extract",
            step_type: "extract",
            delivery: WholeAfter,
            thinking_ms: 55,
            tokens_input: 1204,
            parts: &[Part::Text(
                r#"{"number": "2026-0117", "payee": "Seiler & Söhne", "lines": 3, "total": "1.284,50 €"}"#,
            )],
            success: true,
        },
        Step {
            name: "Compare",
            step_type: "generate",
            delivery: WholeBefore,
            thinking_ms: 35,
            tokens_input: 388,
            parts: &[Part::Text(
                "The total agrees with the order, but line 2 (\"mooring rope, 40 m\") was ordered as 30 m.",
            )],
            success: true,
        },
        Step {
            name: "Decide",
            step_type: "classify",
            delivery: WholeAfter,
            thinking_ms: 20,
            tokens_input: 97,
            parts: &[Part::Text("ask")],
            success: true,
        },
    ],
    error: None,
};
