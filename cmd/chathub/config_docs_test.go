package main

import (
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestHelpNamesEverySetting(t *testing.T) {
	var help strings.Builder
	// Bad settings must not be in the way of the help.
	if _, err := parse([]string{"--port=x", "--help"}, []string{"LLM=x"}, noFile(t), &help); !errors.Is(err, errHelp) {
		t.Fatalf("--help: %v, want errHelp", err)
	}
	for _, name := range settingNames() {
		if !strings.Contains(help.String(), "  "+flagName(name)+"=") {
			t.Errorf("the help does not name %s", flagName(name))
		}
	}
	for _, text := range []string{"Usage: chathub [flags]\n", "  --demo ", "  --port=8080 ", "  --log-format=text ", "The model:", "Limits"} {
		if !strings.Contains(help.String(), text) {
			t.Errorf("the help does not say %q", text)
		}
	}
}

// TestExampleFile holds .env.example to the settings that exist and to their defaults.
func TestExampleFile(t *testing.T) {
	example, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`(?m)^#([A-Z_]+)=(.*)$`)
	var names []string
	for _, m := range setting.FindAllStringSubmatch(string(example), -1) {
		names = append(names, m[1])
	}
	if diff := cmp.Diff(settingNames(), names, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("settings of .env.example (-want +got):\n%s", diff)
	}
	file := noFile(t)
	if err := os.WriteFile(file, setting.ReplaceAll(example, []byte("$1=$2")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parse([]string{"--demo"}, nil, file, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got, equalConfig); diff != "" {
		t.Errorf(".env.example with every line taken (-want +got):\n%s", diff)
	}
}

// settingNames is every environment variable, found from config's fields as kong names them.
func settingNames() (names []string) {
	word := regexp.MustCompile(`[A-Z]+[a-z]*`)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config]()) {
		if !field.IsExported() || field.Type.Kind() == reflect.Bool {
			continue // not a setting, or a flag alone
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = field.Name
			for _, abbreviation := range []string{"URL", "API", "TTL"} {
				name = strings.ReplaceAll(name, abbreviation, abbreviation[:1]+strings.ToLower(abbreviation[1:]))
			}
			name = strings.Join(word.FindAllString(name, -1), "-")
		}
		names = append(names, envName(name))
	}
	return names
}

func flagName(env string) string {
	return "--" + strings.ToLower(strings.ReplaceAll(env, "_", "-"))
}
