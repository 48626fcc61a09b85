"""The look of the page: Feishu's colours and the layout of a group chat."""

from __future__ import annotations

# name: (header background, strong text, tag background)
PALETTE = {
    "red": ("#fde2e2", "#a8201a", "#f9c9c7", "#d83931"),
    "carmine": ("#fce0ee", "#92154f", "#f8c2dc", "#c01b6a"),
    "orange": ("#feead2", "#8f4600", "#fdd3a3", "#c25705"),
    "yellow": ("#faf1d1", "#6f4e00", "#f5e08f", "#aa7803"),
    "lime": ("#eef6c6", "#4b5e00", "#dbe98a", "#667901"),
    "green": ("#d9f5d6", "#186010", "#b7edb1", "#2b7d1f"),
    "turquoise": ("#d5f6f2", "#04615b", "#a9efe6", "#078372"),
    "wathet": ("#d9f3fd", "#05576e", "#b1e8fc", "#037eaa"),
    "blue": ("#e1eaff", "#0c3aa0", "#c5d5ff", "#245bdb"),
    "indigo": ("#e0e2fa", "#2c32a8", "#c7cbf5", "#4954e6"),
    "violet": ("#fae1fa", "#7b1c83", "#f3c3f3", "#9b2fa6"),
    "purple": ("#ece2fe", "#4a1fa0", "#dacbfd", "#6425d0"),
    "grey": ("#eff0f1", "#51565d", "#dee0e3", "#8f959e"),
    "neutral": ("#eff0f1", "#51565d", "#dee0e3", "#646a73"),
    "default": ("#ffffff", "#1f2329", "#eff0f1", "#1f2329"),
}

CSS = (
    """
*{box-sizing:border-box}
body{margin:0;background:#f2f3f5;color:#1f2329;font:14px/1.6 -apple-system,"Segoe UI","PingFang SC",
"Microsoft YaHei","Noto Sans CJK SC","Source Han Sans SC","WenQuanYi Micro Hei",sans-serif}
.top{position:sticky;top:0;z-index:1;display:flex;gap:12px;align-items:center;padding:12px 24px;background:#fff;
border-bottom:1px solid #dee0e3}
.top h1{margin:0;font-size:16px}.top p{margin:0;font-size:12px;color:#8f959e}
.avatar{flex:none;width:36px;height:36px;border-radius:50%;background:linear-gradient(135deg,#3370ff,#14c0ff);
color:#fff;font-size:13px;font-weight:600;display:grid;place-items:center}
main{max-width:720px;margin:0 auto;padding:20px 16px 60px}
article{display:flex;gap:10px;margin-bottom:22px}.said{flex:1;min-width:0}
.who{margin:0 0 4px;font-size:12px;color:#646a73}.who time{margin-left:8px;color:#8f959e}
.bot{padding:0 4px;border-radius:3px;background:#fdf1d8;color:#aa7803}
.empty{text-align:center;color:#8f959e;padding:80px 0}
.refused{margin:0 0 6px;padding:4px 10px;border-radius:6px;background:#fde2e2;color:#a8201a;font-size:12px;
overflow-wrap:anywhere}
.bad .card,.bad .bubble{opacity:.55}
.card{max-width:600px;background:#fff;border:1px solid #dee0e3;border-radius:8px;overflow:hidden;
box-shadow:0 1px 3px rgba(31,35,41,.06)}
.head{padding:12px 16px}.head h2{margin:0;font-size:16px;line-height:24px;overflow-wrap:anywhere}
.subtitle{margin:2px 0 0;font-size:13px}
.tag{display:inline-block;margin-left:6px;padding:0 6px;border-radius:4px;font-size:12px;line-height:18px;
font-weight:500;vertical-align:2px;white-space:nowrap}
.body{display:flex;flex-direction:column;gap:12px;padding:12px 16px 16px;overflow-wrap:anywhere}
.columns{display:flex;gap:12px;align-items:flex-start}.columns.flow{flex-wrap:wrap;gap:8px}
.columns.grey{background:#f5f6f7;border-radius:6px;padding:10px 12px}
.column{min-width:0;display:flex;flex-direction:column;gap:2px}.w-auto{flex:none}
.w-1{flex:1}.w-2{flex:2}.w-3{flex:3}.w-4{flex:4}.w-5{flex:5}
.s-notation{font-size:12px;line-height:20px}.s-heading,.s-heading-4{font-size:16px;line-height:24px}
.s-heading-3{font-size:18px}.s-heading-2{font-size:20px}.s-heading-1{font-size:24px}.s-heading-0{font-size:30px}
.pre{white-space:pre-wrap}
details{border:1px solid #dee0e3;border-radius:6px}
summary{padding:6px 12px;cursor:pointer;display:flex;justify-content:space-between;list-style:none}
summary::after{content:"▾";color:#8f959e}details[open] summary::after{content:"▴"}
.inside{padding:8px 12px;border-top:1px solid #eff0f1;max-height:320px;overflow:auto}
.button{display:inline-block;padding:4px 14px;border-radius:6px;border:1px solid #d0d3d6;color:#1f2329;
text-decoration:none;background:#fff}
.button:hover{background:#f5f6f7}.button.primary{color:#245bdb;border-color:#3370ff}
.button.primary_filled{background:#3370ff;border-color:#3370ff;color:#fff}
.button.danger{color:#d83931;border-color:#f54a45}.dead{opacity:.5}
table{border-collapse:collapse;width:100%;font-size:13px}th,td{border:1px solid #dee0e3;padding:6px 10px;
text-align:left;white-space:nowrap}th{background:#f5f6f7;font-weight:500}
pre,code{font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;background:#f5f6f7;border-radius:4px}
pre{padding:8px 10px;margin:0;overflow:auto}code{padding:1px 4px}
hr{border:0;border-top:1px solid #dee0e3;width:100%;margin:0}h3,h4,h5,h6{margin:0}
.item::before{content:"• ";color:#8f959e}.at{color:#245bdb;background:#e1eaff;border-radius:9px;padding:0 6px}
a{color:#245bdb}
.chart{width:100%;height:auto;border:1px solid #eff0f1;border-radius:6px}.scroll{overflow-x:auto}
.after{margin:6px 0 0;font-size:12px;color:#646a73;max-width:600px}.after ol{margin:4px 0;padding-left:18px}
.urgent{display:inline-block;margin:6px 6px 0 0;padding:0 8px;border-radius:10px;background:#fde2e2;color:#a8201a;
font-size:12px}.thread{margin:0 0 6px;font-size:12px;color:#646a73}a{text-decoration:none}
.bubble{display:inline-block;max-width:600px;padding:10px 14px;background:#fff;border:1px solid #dee0e3;
border-radius:8px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow:auto}
.placeholder{padding:16px;text-align:center;color:#8f959e;background:#f5f6f7;border-radius:6px}
@media(max-width:520px){.columns{flex-direction:column;gap:8px}.columns.flow{flex-direction:row}
.column{width:100%}.columns.flow .column{width:auto}main{padding:14px 8px 40px}
article>.avatar{width:28px;height:28px;font-size:11px}.w-auto{width:auto}.top{padding:10px 14px}}
"""
    + "".join(
        f".t-{name}{{background:{light};color:{strong}}}.c-{name}{{background:{tag};color:{strong}}}"
        f".f-{name}{{color:{text}}}"
        for name, (light, strong, tag, text) in PALETTE.items()
    )
).replace("\n", "")
