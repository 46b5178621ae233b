// rulecheck asks Prometheus' own code, without a Prometheus, what it would make of a run.
//
//	rulecheck ALERTS.yaml < minutes > answers
//
// Each line of the input is one moment of a run: {"at_ms": N, "targets": [{"labels": {..}, "text": ".."}], "queries": [".."]}.
// The text of a target is what it answered to a scrape; null: it did not answer. A target that is not there any more, and
// a series that is gone, end as Prometheus lets them end. At each moment all rules are evaluated once. Each line of the
// output says which alerts fire then, and how many series each query finds:
// {"firing": [{"labels": {..}, "annotations": {..}}], "found": [N]}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

type moment struct {
	AtMS    int64    `json:"at_ms"`
	Targets []target `json:"targets"`
	Queries []string `json:"queries"`
}

type answer struct {
	Firing []firing `json:"firing"`
	Found  []int    `json:"found"`
}

type firing struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func main() {
	if len(os.Args) != 2 {
		fail(errors.New("a file with alert rules is expected"))
	}
	folder, err := os.MkdirTemp("", "rulecheck")
	fail(err)
	err = judge(os.Args[1], folder)
	os.RemoveAll(folder)
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "rulecheck:", err)
		os.Exit(1)
	}
}

func judge(path, folder string) error {
	db, err := tsdb.Open(folder, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute})
	groups, err := load(path, db, engine)
	if err != nil {
		return err
	}
	series := newSeries(db)
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 256<<20)
	for in.Scan() {
		var now moment
		if err := json.Unmarshal(in.Bytes(), &now); err != nil {
			return err
		}
		if err := series.add(now.AtMS, now.Targets); err != nil {
			return err
		}
		at := time.UnixMilli(now.AtMS)
		firing, err := evaluate(groups, at)
		if err != nil {
			return err
		}
		found, err := find(engine, db, now.Queries, at)
		if err != nil {
			return err
		}
		if err := out.Encode(answer{firing, found}); err != nil {
			return err
		}
	}
	return in.Err()
}

// load reads the rules as Prometheus does; a field that it does not know is an error.
func load(path string, db *tsdb.DB, engine *promql.Engine) (map[string]*rules.Group, error) {
	quiet := promslog.New(&promslog.Config{Writer: io.Discard})
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(engine, db),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Context:    context.Background(),
		Appendable: db,
		Queryable:  db,
		Logger:     (*slog.Logger)(quiet),
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "http://prometheus", nil, false, path)
	return groups, errors.Join(errs...)
}

func evaluate(groups map[string]*rules.Group, at time.Time) ([]firing, error) {
	found := []firing{}
	for _, group := range groups {
		group.Eval(context.Background(), at)
		for _, rule := range group.AlertingRules() {
			if err := rule.LastError(); err != nil {
				return nil, fmt.Errorf("%s: %w", rule.Name(), err)
			}
			for _, alert := range rule.ActiveAlerts() {
				if alert.State != rules.StateFiring {
					continue
				}
				annotations := alert.Annotations.Map()
				for name, text := range annotations {
					if strings.Contains(text, "<error expanding template") || strings.Contains(text, "<no value>") {
						return nil, fmt.Errorf("%s: %s: %s", rule.Name(), name, text)
					}
				}
				found = append(found, firing{alert.Labels.Map(), annotations})
			}
		}
	}
	return found, nil
}

// find counts what each query finds, as a panel that shows the newest values does.
func find(engine *promql.Engine, db *tsdb.DB, queries []string, at time.Time) ([]int, error) {
	found := []int{}
	for _, text := range queries {
		query, err := engine.NewInstantQuery(context.Background(), db, nil, text, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		result := query.Exec(context.Background())
		vector, err := result.Vector()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		found = append(found, len(vector))
		query.Close()
	}
	return found, nil
}
