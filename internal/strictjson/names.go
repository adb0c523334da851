package strictjson

import (
	"reflect"
	"slices"
	"strings"
)

// explainUnknown names the key that was meant, if one is near, else all that there are.
func explainUnknown(name string, t reflect.Type) string {
	known := names(t)
	message := "unknown key " + quote(name)
	if near := nearest(name, known); near != "" {
		return message + `: did you mean "` + near + `"?`
	}
	if len(known) == 0 {
		return message + ": no key is allowed here"
	}
	return message + ": want one of " + strings.Join(known, ", ")
}

// names lists the member names of a struct type, those of embedded structs included.
func names(t reflect.Type) []string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var all []string
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
		case f.Anonymous && name == "", slices.Contains(strings.Split(options, ","), "embed"):
			all = append(all, names(f.Type)...)
		case !f.IsExported():
		case name == "":
			all = append(all, f.Name)
		default:
			all = append(all, name)
		}
	}
	return all
}

// nearest returns the known name that a slip of the pen could have turned into name.
func nearest(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	best, least := "", 3 // three slips are another word
	for _, k := range known {
		d := distance(plain(name), plain(k))
		if d < least && d < len(k)/2+1 {
			best, least = k, d
		}
	}
	return best
}

// plain drops what people get wrong most: case and separators.
func plain(s string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour (optimal string alignment).
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
