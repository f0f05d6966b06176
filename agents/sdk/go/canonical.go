package stateset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax is how many arrays and objects may be open at once.
const depthMax = 128

// Canonicalize prints a JSON text in its canonical form (RFC 8785; VES, section 3). A repeated member is refused, never
// resolved.
//
// Codes: invalid_json, duplicate_member, number_out_of_range, too_deep.
func Canonicalize(text string) (string, error) {
	return canonicalize(text, false)
}

// CanonicalizeStrict refuses integers that no double holds (inexact_number) too, as signing does.
func CanonicalizeStrict(text string) (string, error) {
	return canonicalize(text, true)
}

func canonicalize(text string, strict bool) (string, error) {
	if !utf8.ValidString(text) {
		return "", broken("invalid_json", "it is not UTF-8")
	}
	p := parser{text: text, strict: strict, out: new(strings.Builder)}
	p.space()
	if err := p.value(); err != nil {
		return "", err
	}
	p.space()
	if p.at != len(text) {
		return "", p.syntax("text follows the value")
	}
	return p.out.String(), nil
}

// canonicalValue is the canonical form of a Go value.
func canonicalValue(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", broken("invalid_json", "the value has no JSON form: %v", err)
	}
	return canonicalize(text.String(), true)
}

type parser struct {
	text   string
	at     int
	depth  int
	strict bool
	out    *strings.Builder
}

func (p *parser) syntax(problem string) error {
	return broken("invalid_json", "at byte %d: %s", p.at, problem)
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

// taken tells whether the next byte is this one, and steps over it if so.
func (p *parser) taken(b byte) bool {
	if p.at < len(p.text) && p.text[p.at] == b {
		p.at++
		return true
	}
	return false
}

func (p *parser) value() error {
	if p.at == len(p.text) {
		return p.syntax("a value is missing")
	}
	switch b := p.text[p.at]; {
	case b == '{':
		return p.nested(p.object)
	case b == '[':
		return p.nested(p.array)
	case b == '"':
		text, err := p.string()
		if err == nil {
			writeString(p.out, text)
		}
		return err
	case b == '-' || '0' <= b && b <= '9':
		return p.number()
	}
	for _, word := range []string{"null", "true", "false"} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			p.out.WriteString(word)
			return nil
		}
	}
	return p.syntax("no value begins so")
}

func (p *parser) nested(inner func() error) error {
	if p.depth == depthMax {
		return broken("too_deep", "nested deeper than %d levels", depthMax)
	}
	p.depth++
	p.at++
	err := inner()
	p.depth--
	return err
}

func (p *parser) array() error {
	p.out.WriteByte('[')
	for first := true; ; first = false {
		p.space()
		if first && p.taken(']') {
			break
		}
		if !first {
			if p.taken(']') {
				break
			}
			if !p.taken(',') {
				return p.syntax("a comma or ] is missing")
			}
			p.space()
			p.out.WriteByte(',')
		}
		if err := p.value(); err != nil {
			return err
		}
	}
	p.out.WriteByte(']')
	return nil
}

type member struct {
	units []uint16
	name  string
	value string
}

func (p *parser) object() error {
	outer := p.out
	var members []member
	for first := true; ; first = false {
		p.space()
		if first && p.taken('}') {
			break
		}
		if !first {
			if p.taken('}') {
				break
			}
			if !p.taken(',') {
				return p.syntax("a comma or } is missing")
			}
			p.space()
		}
		name, err := p.string()
		if err != nil {
			return err
		}
		p.space()
		if !p.taken(':') {
			return p.syntax("a colon is missing")
		}
		p.space()
		p.out = new(strings.Builder)
		if err := p.value(); err != nil {
			return err
		}
		members = append(members, member{utf16.Encode([]rune(name)), name, p.out.String()})
	}
	// Members by UTF-16 code units.
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.units, b.units) })
	p.out = outer
	p.out.WriteByte('{')
	for i, one := range members {
		if i > 0 {
			if members[i-1].name == one.name {
				return broken("duplicate_member", "the member %q is repeated", one.name)
			}
			p.out.WriteByte(',')
		}
		writeString(p.out, one.name)
		p.out.WriteByte(':')
		p.out.WriteString(one.value)
	}
	p.out.WriteByte('}')
	return nil
}

func (p *parser) string() (string, error) {
	if !p.taken('"') {
		return "", p.syntax("a string is missing")
	}
	var text strings.Builder
	for p.at < len(p.text) {
		b := p.text[p.at]
		switch {
		case b == '"':
			p.at++
			return text.String(), nil
		case b < 0x20:
			return "", p.syntax("a control character stands in a string")
		case b == '\\':
			p.at++
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			text.WriteRune(r)
		default:
			text.WriteByte(b)
			p.at++
		}
	}
	return "", p.syntax("a string does not end")
}

func (p *parser) escape() (rune, error) {
	if p.at == len(p.text) {
		return 0, p.syntax("a string does not end")
	}
	b := p.text[p.at]
	p.at++
	if at := strings.IndexByte(`"\/bfnrt`, b); at >= 0 {
		return rune("\"\\/\b\f\n\r\t"[at]), nil
	}
	if b != 'u' {
		return 0, p.syntax("there is no such escape")
	}
	high, err := p.unit()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if !strings.HasPrefix(p.text[p.at:], `\u`) {
		return 0, p.syntax("a surrogate stands alone")
	}
	p.at += 2
	low, err := p.unit()
	if err != nil {
		return 0, err
	}
	if pair := utf16.DecodeRune(high, low); pair != utf8.RuneError {
		return pair, nil
	}
	return 0, p.syntax("a surrogate stands alone")
}

func (p *parser) unit() (rune, error) {
	if p.at+4 > len(p.text) {
		return 0, p.syntax("an escape has four digits")
	}
	unit, err := strconv.ParseUint(p.text[p.at:p.at+4], 16, 16)
	if err != nil || strings.ContainsAny(p.text[p.at:p.at+4], "_+-") {
		return 0, p.syntax("an escape has four digits")
	}
	p.at += 4
	return rune(unit), nil
}

func (p *parser) digits() bool {
	from := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}

func (p *parser) number() error {
	from, whole := p.at, true
	p.taken('-')
	if !p.taken('0') && !p.digits() {
		return p.syntax("a digit is missing")
	}
	if p.taken('.') {
		whole = false
		if !p.digits() {
			return p.syntax("a digit is missing")
		}
	}
	if p.taken('e') || p.taken('E') {
		whole = false
		_ = p.taken('+') || p.taken('-')
		if !p.digits() {
			return p.syntax("a digit is missing")
		}
	}
	text := p.text[from:p.at]
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) {
		return broken("number_out_of_range", "at byte %d: the number is beyond the range of a double", from)
	}
	if p.strict && whole {
		exact, _ := new(big.Int).SetString(text, 10)
		if rounded, _ := big.NewFloat(value).Int(nil); exact.Cmp(rounded) != 0 {
			return broken("inexact_number", "at byte %d: the integer has no exact double; write it as a string", from)
		}
	}
	p.out.WriteString(formatNumber(value))
	return nil
}

// formatNumber prints the shortest digits that read back, as ECMAScript does.
func formatNumber(value float64) string {
	if value == 0 {
		return "0"
	}
	sign := ""
	if value < 0 {
		sign, value = "-", -value
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(value, 'e', -1, 64), "e")
	digits := strings.Replace(mantissa, ".", "", 1)
	power, _ := strconv.Atoi(exponent)
	// The place of the decimal point relative to the first digit.
	point := power + 1
	switch {
	case 0 < point && point <= 21:
		if len(digits) <= point {
			return sign + digits + strings.Repeat("0", point-len(digits))
		}
		return sign + digits[:point] + "." + digits[point:]
	case -6 < point && point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	rest := ""
	if len(digits) > 1 {
		rest = "." + digits[1:]
	}
	return fmt.Sprintf("%s%s%se%+d", sign, digits[:1], rest, power)
}

func writeString(out *strings.Builder, text string) {
	out.WriteByte('"')
	for i := 0; i < len(text); i++ {
		b := text[i]
		if at := strings.IndexByte("\"\\\b\t\n\f\r", b); at >= 0 {
			out.WriteByte('\\')
			out.WriteByte(`"\btnfr`[at])
		} else if b < 0x20 {
			fmt.Fprintf(out, `\u%04x`, b)
		} else {
			out.WriteByte(b)
		}
	}
	out.WriteByte('"')
}
