"""Many runs, and what they say together: `sweep` trains them and writes a row for each, with `study_scores`.

`runs` reads rows and run folders, `comparison` takes means over seeds and differences, `study_tables` and `figures`
show them: `scripts/study_report.py`.
"""
