package osv

import (
	"math"
	"strings"

	"landfall.dev/api"
)

// metrics are the weights of the base metrics of CVSS version 3.1
// (first.org/cvss/v3.1/specification-document, section 7.4).
var metrics = map[string]map[string]float64{
	"AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
	"AC": {"L": 0.77, "H": 0.44},
	"PR": {"N": 0.85, "L": 0.62, "H": 0.27},
	"UI": {"N": 0.85, "R": 0.62},
	"S":  {"U": 0, "C": 1},
	"C":  {"H": 0.56, "L": 0.22, "N": 0},
	"I":  {"H": 0.56, "L": 0.22, "N": 0},
	"A":  {"H": 0.56, "L": 0.22, "N": 0},
}

// cvss3 returns the base score of a vector: "CVSS:3.1/AV:N/AC:L/...".
func cvss3(vector string) (score float64, ok bool) {
	parts := strings.Split(vector, "/")
	if parts[0] != "CVSS:3.0" && parts[0] != "CVSS:3.1" {
		return 0, false
	}
	m := map[string]float64{}
	level := map[string]string{}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, ":")
		if weight, known := metrics[name][value]; known {
			m[name], level[name] = weight, value
		}
	}
	if len(m) < len(metrics) {
		return 0, false
	}
	changed := m["S"] == 1
	if changed { // privileges weigh more
		switch level["PR"] {
		case "L":
			m["PR"] = 0.68
		case "H":
			m["PR"] = 0.5
		}
	}
	lost := 1 - (1-m["C"])*(1-m["I"])*(1-m["A"])
	impact := 6.42 * lost
	if changed {
		impact = 7.52*(lost-0.029) - 3.25*math.Pow(lost-0.02, 15)
	}
	if impact <= 0 {
		return 0, true
	}
	sum := impact + 8.22*m["AV"]*m["AC"]*m["PR"]*m["UI"]
	if changed {
		sum *= 1.08
	}
	return roundUp(min(sum, 10)), true
}

// roundUp is Roundup of the specification's appendix A.
func roundUp(x float64) float64 {
	n := int(math.Round(x * 100_000))
	if n%10_000 == 0 {
		return float64(n) / 100_000
	}
	return float64(n/10_000+1) / 10
}

// Scored returns the severity of a CVSS score, by its qualitative scale.
func Scored(score float64) api.Severity {
	switch {
	case score >= 9:
		return api.SeverityCritical
	case score >= 7:
		return api.SeverityHigh
	case score >= 4:
		return api.SeverityMedium
	}
	return api.SeverityLow
}
