package mistralsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// detail is one entry of a 422, in the words of Pydantic
// (https://docs.pydantic.dev/latest/errors/validation_errors/).
type detail struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input"`
	Ctx   map[string]any `json:"ctx,omitempty"`
}

// place is where a value stands in the body.
type place struct {
	up  *place
	key any // a field name or an index
}

func (p *place) in(key any) *place { return &place{p, key} }

func (p *place) path() []any {
	if p == nil {
		return nil
	}
	return append(p.up.path(), p.key)
}

// verdict collects what is wrong with a body.
type verdict struct{ details []detail }

func (v *verdict) add(at *place, typ, msg string, input any) {
	v.details = append(v.details, detail{Type: typ, Loc: at.path(), Msg: msg, Input: input})
}

// check adds to the verdict what is wrong with a decoded JSON value.
type check func(v *verdict, at *place, value any)

// field is a member of an object with a closed schema.
type field struct {
	name     string
	required bool
	check    check
}

func must(name string, c check) field { return field{name, true, c} }
func may(name string, c check) field  { return field{name, false, c} }

// object accepts an object that has the required fields and no others than the
// named ones.
func object(fields ...field) check {
	return func(v *verdict, at *place, value any) {
		m, ok := value.(map[string]any)
		if !ok {
			v.add(at, "model_attributes_type", "Input should be a valid dictionary or object to extract fields from", value)
			return
		}
		for _, f := range fields {
			if x, ok := m[f.name]; ok {
				f.check(v, at.in(f.name), x)
			} else if f.required {
				v.add(at.in(f.name), "missing", "Field required", value)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
				v.add(at.in(name), "extra_forbidden", "Extra inputs are not permitted", m[name])
			}
		}
	}
}

// tagged accepts an object by the value of one of its fields. As Pydantic does,
// it puts the tag into the place of what is wrong inside.
func tagged(by string, variants map[string]check) check {
	return func(v *verdict, at *place, value any) {
		m, ok := value.(map[string]any)
		if !ok {
			v.add(at, "model_attributes_type", "Input should be a valid dictionary or object to extract fields from", value)
			return
		}
		tag, ok := m[by]
		if !ok {
			v.add(at, "union_tag_not_found", fmt.Sprintf("Unable to extract tag using discriminator '%s'", by), value)
			return
		}
		name, _ := tag.(string)
		c, ok := variants[name]
		if !ok {
			v.add(at, "union_tag_invalid", fmt.Sprintf("Input tag '%v' found using '%s' does not match any of the expected tags: %s",
				tag, by, quoted(slices.Sorted(maps.Keys(variants)), ", ")), value)
			return
		}
		c(v, at.in(name), value)
	}
}

// list accepts an array of what item accepts, of at most limit entries (0: any
// number).
func list(item check, limit int) check {
	return func(v *verdict, at *place, value any) {
		l, ok := value.([]any)
		if !ok {
			v.add(at, "list_type", "Input should be a valid list", value)
			return
		}
		if limit > 0 && len(l) > limit {
			v.add(at, "too_long", fmt.Sprintf("List should have at most %d items after validation, not %d", limit, len(l)), nil)
			return
		}
		for i, x := range l {
			item(v, at.in(i), x)
		}
	}
}

// null accepts null as well.
func null(c check) check {
	return func(v *verdict, at *place, value any) {
		if value != nil {
			c(v, at, value)
		}
	}
}

// textOr accepts a string, or what c accepts.
func textOr(c check) check {
	return func(v *verdict, at *place, value any) {
		if _, ok := value.(string); !ok {
			c(v, at, value)
		}
	}
}

func text(v *verdict, at *place, value any) {
	if _, ok := value.(string); !ok {
		v.add(at, "string_type", "Input should be a valid string", value)
	}
}

func boolean(v *verdict, at *place, value any) {
	if _, ok := value.(bool); !ok {
		v.add(at, "bool_type", "Input should be a valid boolean", value)
	}
}

// freeForm accepts any object.
func freeForm(v *verdict, at *place, value any) {
	if _, ok := value.(map[string]any); !ok {
		v.add(at, "dict_type", "Input should be a valid dictionary", value)
	}
}

// oneOf accepts one of some strings.
func oneOf(values ...string) check {
	return func(v *verdict, at *place, value any) {
		if s, ok := value.(string); !ok || !slices.Contains(values, s) {
			v.add(at, "literal_error", "Input should be "+quoted(values, " or "), value)
		}
	}
}

// integer accepts a whole number of at least low.
func integer(low int64) check {
	return func(v *verdict, at *place, value any) {
		n, ok := value.(json.Number)
		if !ok {
			v.add(at, "int_type", "Input should be a valid integer", value)
			return
		}
		i, err := n.Int64()
		if err != nil {
			v.add(at, "int_from_float", "Input should be a valid integer, got a number with a fractional part", value)
		} else if i < low {
			v.add(at, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %d", low), value)
		}
	}
}

// number accepts low <= n <= high; above makes it low < n.
func number(low, high float64, above bool) check {
	return func(v *verdict, at *place, value any) {
		n, ok := value.(json.Number)
		if !ok {
			v.add(at, "float_type", "Input should be a valid number", value)
			return
		}
		f, _ := n.Float64()
		switch {
		case above && f <= low:
			v.add(at, "greater_than", fmt.Sprintf("Input should be greater than %g", low), value)
		case f < low:
			v.add(at, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %g", low), value)
		case f > high:
			v.add(at, "less_than_equal", fmt.Sprintf("Input should be less than or equal to %g", high), value)
		}
	}
}

func quoted(values []string, separator string) string {
	return "'" + strings.Join(values, "'"+separator+"'") + "'"
}
