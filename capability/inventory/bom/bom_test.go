package bom

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The files in testdata are in the form in which the tools that they are named
// after write them, made by hand and short.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// said is all of b, a line for each thing.
func said(b Bill) (lines []string) {
	for _, c := range b.Components {
		lines = append(lines, fmt.Sprintf("%s | %s | %s | %s", c.PURL, c.Name, c.Version, strings.Join(c.Licences, ", ")))
	}
	for _, v := range b.Vulnerabilities {
		lines = append(lines, fmt.Sprintf("%s %s %s in %s fixed %s: %s (%s)", v.ID, v.Aliases, v.Severity, v.Component, v.Fixed, v.Summary, v.Source))
	}
	return lines
}

func TestBillsOfMaterials(t *testing.T) {
	for name, want := range map[string][]string{
		"syft.cdx.json": {
			"pkg:deb/debian/libc6@2.36-9+deb12u4 | libc6 | 2.36-9+deb12u4 | GPL-2.0-only, LGPL-2.1-only, sha256:8d2a",
			"pkg:golang/github.com/acme/ledger@v0.0.0 | github.com/acme/ledger | v0.0.0 | ",
			" | inner | 2.0 | Apache License, Version 2.0",
			"pkg:npm/@acme/left-pad@1.3.0 | @acme/left-pad | 1.3.0 | (MIT OR WTFPL)",
		},
		"trivy.cdx.json": {
			"pkg:deb/debian/openssl@3.0.11 | openssl | 3.0.11 | ",
			" | libssl3 | 3.0.11 | ",
			"CVE-2024-0001 [] critical in pkg:deb/debian/openssl@3.0.11 fixed : A long text. (trivy.cdx.json)",
			"CVE-2024-0001 [] critical in libssl3 3.0.11 fixed : A long text. (trivy.cdx.json)",
			"CVE-2024-0003 [] medium in gone fixed :  (trivy.cdx.json)",
		},
		"osv-scanner.json": {
			"pkg:golang/golang.org/x/net@v0.16.0 | golang.org/x/net | 0.16.0 | BSD-3-Clause",
			"pkg:golang/stdlib@1.22.1 | stdlib | 1.22.1 | ",
			"GO-2023-2102 [CVE-2023-39325 GHSA-4374-p667-p6c8] high in pkg:golang/golang.org/x/net@v0.16.0 fixed 0.17.0: HTTP/2 rapid reset can cause excessive work in net/http (osv-scanner.json)",
		},
	} {
		var b Bill
		for range 2 { // what is read twice is there once
			f := b.ReadCycloneDX
			if name == "osv-scanner.json" {
				f = b.ReadOSV
			}
			if err := f(name, read(t, name)); err != nil {
				t.Fatal(err)
			}
		}
		if got := said(b); !slices.Equal(got, want) {
			t.Errorf("%s says\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestWhatIsNoBillIsNamedByLine(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200)
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "f:1: it is no CycloneDX bill of materials: EOF"},
		{"XML", "\n<bom/>", "f:1: it is XML: write JSON"},
		{"SPDX", `{"spdxVersion": "SPDX-2.3"}`, "f:1: it is SPDX: write CycloneDX JSON"},
		{"other JSON", `{"issues": []}`, `f:1: it is no CycloneDX bill of materials: it has no "bomFormat"`},
		{"a list", "\n[]", "f:2: it is no CycloneDX bill of materials: the file must be an object"},
		{"a component that is none", "{\"components\": [\n3]}", "f:2: it is no CycloneDX bill of materials: a component must be an object"},
		{"a name that is none", "{\"components\": [\n{\"name\": 3}]}", "f:2: it is no CycloneDX bill of materials: json: cannot unmarshal number"},
		{"cut off", "{\"bomFormat\": \"CycloneDX\",\n\"components\": [{", "f:2: it is no CycloneDX bill of materials"},
		{"depth where it does not matter", `{"metadata": ` + deep, "f:1: values are nested more than 100 deep"},
	} {
		if err := new(Bill).ReadCycloneDX("f", []byte(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	for text, want := range map[string]string{
		`{"results": 3}`: "f:1: it is no report of osv-scanner: results must be a list",
		`{}`:             `f:1: it is no report of osv-scanner: it has no "results"`,
	} {
		if err := new(Bill).ReadOSV("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestABombIsRefused(t *testing.T) {
	const head = `{"bomFormat":"CycloneDX",`
	for name, test := range map[string]struct{ begin, item, want string }{
		"components":       {head + `"components":[`, `{"name":"a"},`, "it has more than 50000 components"},
		"components in it": {head, `"components":[{`, "components are nested more than 100 deep"},
		"vulnerabilities":  {head + `"vulnerabilities":[`, `{"id":"a"},`, "it has more than 50000 vulnerabilities"},
		"affected":         {head + `"vulnerabilities":[{"affects":[{"ref":"a"}`, `,{"ref":"a"}`, "it is no CycloneDX bill of materials: unexpected EOF"},
	} {
		bomb := test.begin + strings.Repeat(test.item, 500_000)
		if err := new(Bill).ReadCycloneDX(name, []byte(bomb)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func FuzzReadCycloneDX(f *testing.F) {
	f.Add(read(f, "syft.cdx.json"))
	f.Add(read(f, "trivy.cdx.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Bill
		if err := b.ReadCycloneDX("f", data); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%v, want the file's name in front", err)
		}
		for _, c := range b.Components {
			if len(c.PURL) > maxText || len(c.Name) > maxText || len(c.Version) > maxText || len(c.Licences) > maxLicences {
				t.Errorf("a component is out of bounds: %+v", c)
			}
		}
	})
}

func TestWhatIsWrittenIsReadTheSame(t *testing.T) {
	var b Bill
	for _, name := range []string{"syft.cdx.json", "trivy.cdx.json"} {
		if err := b.ReadCycloneDX(name, read(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	if err := b.Write(&text, "ledger", "1.0.0", b.Vulnerabilities[:2]); err != nil {
		t.Fatal(err)
	}
	var again Bill
	if err := again.ReadCycloneDX("trivy.cdx.json", []byte(text.String())); err != nil {
		t.Fatal(err)
	}
	b.Vulnerabilities = b.Vulnerabilities[:2]
	if got, want := said(again), said(b); !slices.Equal(got, want) {
		t.Errorf("read again it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, p := range again.Packages {
		if p.Qualifiers.Encode() != b.Packages[i].Qualifiers.Encode() {
			t.Errorf("%s has the qualifiers %s, want %s", p, p.Qualifiers.Encode(), b.Packages[i].Qualifiers.Encode())
		}
	}
}
