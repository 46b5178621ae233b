package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

type target struct {
	Labels map[string]string `json:"labels"`
	// nil: it did not answer.
	Text *string `json:"text"`
}

// series is what has been scraped, and which of it was there at the last moment.
type series struct {
	db   *tsdb.DB
	last map[string]labels.Labels
}

func newSeries(db *tsdb.DB) *series {
	return &series{db, map[string]labels.Labels{}}
}

// add writes down what targets have answered at this time, and ends what is gone.
func (series *series) add(atMS int64, targets []target) error {
	out := series.db.Appender(context.Background())
	now := map[string]labels.Labels{}
	for _, target := range targets {
		up := 0.0
		if target.Text != nil {
			up = 1
			if err := target.read(func(name labels.Labels, v float64) error {
				now[name.String()] = name
				return put(out, name, atMS, v)
			}); err != nil {
				return fmt.Errorf("%v: %w", target.Labels, err)
			}
		}
		if err := put(out, target.named(labels.FromStrings(labels.MetricName, "up")), atMS, up); err != nil {
			return err
		}
	}
	for key, name := range series.last {
		if _, there := now[key]; !there {
			if err := put(out, name, atMS, math.Float64frombits(value.StaleNaN)); err != nil {
				return err
			}
		}
	}
	series.last = now
	return out.Commit()
}

func put(out storage.Appender, name labels.Labels, atMS int64, v float64) error {
	_, err := out.Append(0, name, atMS, v)
	return err
}

// read gives each sample of the answer, read as OpenMetrics, to the function.
func (target target) read(each func(labels.Labels, float64) error) error {
	kind := "application/openmetrics-text; version=1.0.0; charset=utf-8"
	parser, err := textparse.New([]byte(*target.Text), kind, "", false, false, false, labels.NewSymbolTable())
	if err != nil {
		return err
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, at, v := parser.Series()
		if at != nil {
			return fmt.Errorf("a sample has a time of its own: %v", timestamp.Time(*at).Format(time.RFC3339))
		}
		var own labels.Labels
		parser.Labels(&own)
		if err := each(target.named(own), v); err != nil {
			return err
		}
	}
}

// named joins the labels of a series with those of its target, which win; the other one is kept under another name.
func (target target) named(own labels.Labels) labels.Labels {
	builder := labels.NewBuilder(own)
	for name, value := range target.Labels {
		if before := own.Get(name); before != "" {
			builder.Set("exported_"+name, before)
		}
		builder.Set(name, value)
	}
	return builder.Labels()
}
