package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/joho/godotenv"
)

// dotenv is what a file .env says. The zero value is a file that is not there.
type dotenv struct {
	values map[string]string
	lines  map[string]int // the line on which each name is set last, from 1
}

// readDotenv reads the file at path, which need not exist. No error quotes the file, which may hold
// keys: it tells the numbers of the lines that are wrong.
func readDotenv(path string) (dotenv, error) {
	file, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dotenv{}, nil
	case err != nil:
		return dotenv{}, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff")) // editors on Windows put it there
	d := dotenv{lines: make(map[string]int)}
	if wrong := d.findLines(file); len(wrong) > 0 {
		return dotenv{}, fmt.Errorf("%s cannot be read in line %s; want NAME=value, with a value that has $, # or spaces in 'single quotes'", path, strings.Join(wrong, ", "))
	}
	if d.values, err = godotenv.UnmarshalBytes(file); err != nil {
		return dotenv{}, fmt.Errorf("%s cannot be read; want lines of the form NAME=value", path)
	}
	return d, nil
}

// findLines fills d.lines, and returns the numbers of the lines that are wrong.
func (d *dotenv) findLines(file []byte) (wrong []string) {
	all := bytes.SplitAfter(file, []byte("\n"))
	for i := 0; i < len(all); {
		set, n := readStatement(all[i:])
		if n == 0 {
			wrong, n = append(wrong, strconv.Itoa(i+1)), 1
		}
		for name := range set {
			d.lines[name] = i + 1
		}
		i += n
	}
	return wrong
}

// readStatement reads what the first of lines sets, and how many lines that takes: a quoted value may
// go on over several. 0: it cannot be read.
func readStatement(lines [][]byte) (set map[string]string, n int) {
	for n := 1; n <= len(lines); n++ {
		set, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil))
		if _, nameless := set[""]; err == nil && !nameless { // godotenv lets a line without = pass
			return set, n
		}
		if !bytes.ContainsAny(lines[0], `'"`) {
			break
		}
	}
	return nil, 0
}

// over returns d's settings below those of environ, which has the form of os.Environ.
func (d *dotenv) over(environ []string) map[string]string {
	env := make(map[string]string, len(d.values)+len(environ))
	maps.Copy(env, d.values)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// settingName matches what may be shown of a line that sets nothing: anything else may be a key that
// was pasted where a name belongs.
var settingName = regexp.MustCompile(`^[A-Z][A-Z_]{1,39}$`)

// unknown lists the lines of d that none of the flags reads, in their order.
func (d *dotenv) unknown(flags []*kong.Flag) (lines []string) {
	known := make(map[string]bool)
	for _, f := range flags {
		known[envName(f.Name)] = !f.IsBool()
	}
	byLine := func(a, b string) int { return d.lines[a] - d.lines[b] }
	for _, name := range slices.SortedFunc(maps.Keys(d.lines), byLine) {
		switch {
		case known[name]:
		case settingName.MatchString(name):
			lines = append(lines, fmt.Sprintf("%s in line %d", name, d.lines[name]))
		default:
			lines = append(lines, fmt.Sprintf("line %d", d.lines[name]))
		}
	}
	return lines
}
