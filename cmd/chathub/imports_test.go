package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "lumos/backend/"

// mayImport has, for each package of the project, which others it may know.
// What is not named may know none; a command may know all but commands.
var mayImport = map[string][]string{
	"hub/jsonread":       {},
	"session":            {},
	"session/storetest":  {"session"},
	"session/explore":    {"session"},
	"session/filestore":  {"session"},
	"session/redisstore": {"session"},
	"static":             {},
	"static/browsertest": {},
	"llm":                {},
	"llm/mistralsim":     {"llm/mistralsim/eliza"},
	"hub/reply":          {"session"},
	"hub":                {"hub/jsonread", "hub/reply", "session", "llm"},
	"httpapi/wire":       {"hub", "hub/jsonread", "hub/reply", "session"},
	"httpapi/wsconn":     {"hub", "hub/reply"},
	"cmd/needs/chromium": {"cmd/needs", "static/browsertest"},
	"httpapi":            {"httpapi/wire", "httpapi/wsconn", "hub", "hub/jsonread", "hub/reply", "session", "static"},
}

// mayTouch has which packages may know a library that the design keeps in one place.
var mayTouch = map[string][]string{
	"github.com/coder/websocket":   {"httpapi/wsconn", "cmd/chatload"},
	"github.com/gorilla/mux":       {"httpapi"},
	"github.com/redis/rueidis":     {"session/redisstore", "cmd/chatload"},
	"github.com/golang-jwt/jwt/v5": {"httpapi", "cmd/chathub"},
	"github.com/alecthomas/kong":   {"cmd/chathub", "cmd/chatload"},
	"net/http":                     {"httpapi", "httpapi/wsconn", "llm", "llm/mistralsim", "static", "cmd/chathub", "cmd/chatload"},
}

// TestImportArrows holds the arrows between the packages: what a package
// imports itself, and the standard library, is as the design has it.
func TestImportArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath    string
			Imports, Deps []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		seen++
		command := strings.HasPrefix(name, "cmd/")
		for _, dep := range p.Deps { // also by way of others
			other, ours := strings.CutPrefix(dep, module)
			if !ours {
				continue
			}
			allowed := slices.Contains(mayImport[name], other)
			if command {
				allowed = !strings.HasPrefix(other, "cmd/") || strings.HasPrefix(other, name+"/")
			}
			if !allowed && !reachable(name, other) {
				t.Errorf("%s knows %s", name, other)
			}
		}
		for _, library := range p.Imports {
			if users, kept := mayTouch[library]; kept && !slices.Contains(users, name) {
				t.Errorf("%s imports %s, which is for %v", name, library, users)
			}
		}
	}
	if seen < len(mayImport)+1 {
		t.Errorf("%d packages were looked at", seen)
	}
}

// reachable tells whether the arrows lead from one package to another.
func reachable(from, to string) bool {
	for _, next := range mayImport[from] {
		if next == to || reachable(next, to) {
			return true
		}
	}
	return false
}
