"""Score a checkpoint: python evaluate.py [RUN_OR_FILE] [data=lol_v1 data.root=DIR] [out=FOLDER].
recalibrate=train|target (AdaBN) also scores with batch norms recalibrated now, protocol=all as other papers do, and
says how much of the error is overall brightness. outputs=DIR data=lol_v1 data.root=DIR scores another method's images.
"""

from enhance.commands.evaluate import main

if __name__ == "__main__":
    main()
